/** As SQLite reads a part of a URI: escapes are bytes, and a zero byte ends it. */
const unescaped = (part: string): string =>
  part.replace(/%([\da-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))).split("\0")[0]!

/**
 * Whether a name of a file stands for a database without one that others could open: in memory, or in a temporary file
 * (https://www.sqlite.org/uri.html, https://www.sqlite.org/inmemorydb.html).
 */
export const isMemory = (filename: string): boolean => {
  if (!filename.startsWith("file:")) {
    return filename === "" || filename === ":memory:"
  }
  const [, path = "", query = ""] = /^file:(?:\/\/[^/?#]*)?([^?#]*)(?:\?([^#]*))?/.exec(filename) ?? []
  const name = unescaped(path)
  const options = query.split("&").map((option) => option.split("=").map(unescaped))
  return (
    name === "" ||
    name === ":memory:" ||
    options.some(([key, value]) => (key === "mode" && value === "memory") || (key === "vfs" && value === "memdb"))
  )
}
