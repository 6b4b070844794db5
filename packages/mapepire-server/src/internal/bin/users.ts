/** The users of a file: a line each, `USER:PASSWORD`; `#` begins a comment. */
import * as Redacted from "effect/Redacted"

export type Users = Record<string, Redacted.Redacted<string>>

/** The number of a line that says nothing, or names a user again; the line itself may hold a secret. */
export interface WrongLine {
  readonly wrongLine: number
  readonly repeats?: true
}

export const parseUsers = (text: string): Users | WrongLine => {
  const users: Users = {}
  const lines = text.split(/\r?\n/)
  for (const [i, line] of lines.entries()) {
    if (line.trim() === "" || line.trimStart().startsWith("#")) {
      continue
    }
    if (!isUser(line)) {
      return { wrongLine: i + 1 }
    }
    const at = line.indexOf(":")
    const user = line.slice(0, at).trim().toUpperCase()
    if (user in users) {
      return { wrongLine: i + 1, repeats: true }
    }
    users[user] = Redacted.make(line.slice(at + 1))
  }
  return users
}

/** `USER:PASSWORD` as the protocol can carry it: no part is empty, the password has neither colon nor semicolon. */
export const isUser = (line: string): boolean =>
  /^\s*[^\s:;*]+\s*:[^:;]+$/.test(line) && line.slice(line.indexOf(":") + 1).trim() !== ""
