/** What daemons of one version do and those of another do not. */

export interface Behaviour {
  readonly version: string
  /** Responses as binary messages. */
  readonly binaryResponses: boolean
  /** `autoIncrement`, `nullable`, `readOnly`, `writeable` of columns. */
  readonly fullColumns: boolean
  /** `GET /version`. */
  readonly versionRoute: boolean
  /** Binary values as references, parameters as base64; `sqlclose` closes the statement. */
  readonly blobs: boolean
}

const parts = (version: string): ReadonlyArray<number> =>
  version === "next"
    ? [Infinity]
    : version
        .replace(/^\D/, "")
        .split(/[.-]/)
        .map((part) => Number(part) || 0)

const atLeast = (version: string, wanted: string): boolean => {
  const a = parts(version)
  const b = parts(wanted)
  for (let i = 0; i < b.length; i++) {
    if ((a[i] ?? 0) !== b[i]) {
      return (a[i] ?? 0) > b[i]!
    }
  }
  return true
}

export const behaviourOf = (version: string): Behaviour => ({
  version: version === "next" ? "2.4.0-SNAPSHOT" : version,
  binaryResponses: atLeast(version, "2.3.0") && !atLeast(version, "2.3.1"),
  fullColumns: atLeast(version, "2.3.3"),
  versionRoute: atLeast(version, "2.3.4"),
  // Clients write bytes as base64 to whatever is newer than 2.3.6.
  blobs: atLeast(version, "2.3.7")
})
