/** Who may open a socket. Passwords are not looked at yet: `connect` does that. */

export interface Credentials {
  readonly user: string
  readonly password: string
  /** As it came; a blob is handed out to the same only. */
  readonly header: string
}

export type Upgrade =
  | { readonly _tag: "Accepted"; readonly credentials: Credentials }
  | { readonly _tag: "Rejected"; readonly status: number; readonly reason: string }

const rejected = (status: number, reason: string): Upgrade => ({ _tag: "Rejected", status, reason })

const base64 = /^[A-Za-z0-9+/]*={0,2}$/

/** Everything below `/db/`, and `/db` itself. */
export const isDatabasePath = (url: string | undefined): boolean => /^\/db(?:[/?]|$)/.test(url ?? "")

export const authorize = (header: string | undefined): Upgrade => {
  if (header === undefined) {
    return rejected(403, "Authorization header missing")
  }
  if (!header.startsWith("Basic ")) {
    return rejected(403, "Invalid Authorization header")
  }
  const encoded = header.slice("Basic ".length)
  if (!base64.test(encoded)) {
    return rejected(500, "java.lang.IllegalArgumentException: Illegal base64 character")
  }
  const parts = Buffer.from(encoded, "base64").toString("utf8").split(":")
  // The daemon's way of splitting drops empty parts at the end.
  while (parts.at(-1) === "") {
    parts.pop()
  }
  const [user, password] = parts
  if (parts.length !== 2 || user === undefined || password === undefined) {
    return rejected(403, "Invalid Authorization header")
  }
  if (user.trim() === "" || password.trim() === "" || user.includes("*")) {
    return rejected(503, "Endpoint Creation Failed")
  }
  return { _tag: "Accepted", credentials: { user, password, header } }
}
