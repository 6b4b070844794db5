/** How a daemon takes the bytes of a parameter. The two ways look alike, so only its version tells. */

export type ByteShape = "hex" | "base64"

/** The last version that takes hexadecimal digits. */
const lastWithHex = [2, 3, 6] as const

/** Undefined where a version is none. */
export const byteShapeOf = (version: unknown): ByteShape | undefined => {
  const found = typeof version === "string" ? /^\D?(\d+)\.(\d+)(?:\.(\d+))?/.exec(version.trim()) : null
  if (found === null) {
    return undefined
  }
  const parts = found.slice(1).map((part: string | undefined) => Number(part ?? 0))
  const at = lastWithHex.findIndex((part, i) => parts[i] !== part)
  return at >= 0 && parts[at]! > lastWithHex[at]! ? "base64" : "hex"
}
