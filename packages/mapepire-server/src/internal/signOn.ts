/** Whether a user may sign on: the rules, then the password. */
import { createHash, timingSafeEqual } from "node:crypto"
import * as Redacted from "effect/Redacted"
import type { Db2Failure } from "./db2/failures.js"

/** User names, in any case, to passwords. */
export type Users = Readonly<Record<string, string | Redacted.Redacted<string>>>

/** What the product ships: everybody but the users that the system itself has. */
export const defaultRules = "allow *@*\ndeny q*@*"

const pattern = (text: string): RegExp =>
  new RegExp(`^${text.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*")}$`, "i")

/** The number of the line that refuses; the last line that matches decides. */
const refusingLine = (rules: string, user: string, address: string): number | undefined => {
  let refusing: number | undefined
  rules.split("\n").forEach((line, i) => {
    const match = /^\s*(allow|deny)\s+(\S+)@(\S+)\s*$/i.exec(line)
    if (match !== null && pattern(match[2]!).test(user) && pattern(match[3]!).test(address)) {
      refusing = match[1]!.toLowerCase() === "deny" ? i + 1 : undefined
    }
  })
  return refusing
}

/** Whether rules refuse a user, whatever the password. */
export const isRefused = (rules: string, user: string, address: string): boolean =>
  refusingLine(rules, user, address) !== undefined

const digest = (text: string): Buffer => createHash("sha256").update(text).digest()

/** A sign-on fails with a text only, without an SQLSTATE. */
const wrapped = (text: string): Db2Failure => ({ message: `java.sql.SQLException: ${text}`, state: null, code: 0 })

const rejected = (why: string): Db2Failure => wrapped(`The application server rejected the connection. (${why})`)

export interface SignOn {
  readonly user: string
  readonly password: string
  readonly address: string
}

/** Undefined: come in. Without users everybody may. */
export const refusal = (
  users: Users | undefined,
  rules: string,
  { address, password, user }: SignOn
): Db2Failure | undefined => {
  const line = refusingLine(rules, user, address)
  if (line !== undefined) {
    return { message: `Connection refused by security rule at line ${line}`, state: null, code: 0 }
  }
  if (users === undefined) {
    return undefined
  }
  const name = Object.keys(users).find((known) => known.toUpperCase() === user.toUpperCase())
  if (name === undefined) {
    return rejected("User ID is not known.")
  }
  const expected = users[name]!
  const plain = typeof expected === "string" ? expected : Redacted.value(expected)
  return timingSafeEqual(digest(plain), digest(password)) ? undefined : rejected("Password is incorrect.")
}

export const unknownTechnique: Db2Failure = {
  message: "Invalid connection technique specified",
  state: undefined,
  code: 0
}
