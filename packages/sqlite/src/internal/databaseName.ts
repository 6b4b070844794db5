/** The name of a database as SQLite reads it: a path, or a URI (https://www.sqlite.org/uri.html). */

export interface DatabaseName {
  readonly path: string
  /** Of a URI: what stands behind its question mark. */
  readonly options: ReadonlyArray<readonly [key: string, value: string]>
}

/** Escapes are bytes of UTF-8, and a zero byte ends what it stands in. */
const unescaped = (part: string): string => {
  const bytes = Buffer.from(part, "utf8").toString("latin1")
  const plain = bytes.replace(/%([\da-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))
  return Buffer.from(plain.split("\0")[0]!, "latin1").toString("utf8")
}

export const readName = (name: string): DatabaseName => {
  const uri = /^file:(?:\/\/[^/?#]*)?([^?#]*)(?:\?([^#]*))?/.exec(name)
  if (uri === null) {
    return { path: name, options: [] }
  }
  const [, path = "", query = ""] = uri
  return {
    path: unescaped(path),
    options: query.split("&").map((option) => {
      const [key = "", value = ""] = option.split("=").map(unescaped)
      return [key, value]
    })
  }
}

export const hasOption = ({ options }: DatabaseName, key: string, value: string): boolean =>
  options.some((option) => option[0] === key && option[1] === value)
