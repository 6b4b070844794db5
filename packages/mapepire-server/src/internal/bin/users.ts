/** The users of a file: a line each, `USER:PASSWORD`; `#` begins a comment. */
import * as Redacted from "effect/Redacted"

export type Users = Record<string, Redacted.Redacted<string>>

/** The numbers of lines that say nothing; the lines themselves may hold secrets. */
export const parseUsers = (text: string): Users | { readonly wrongLine: number } => {
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
    users[line.slice(0, at).trim().toUpperCase()] = Redacted.make(line.slice(at + 1))
  }
  return users
}

/** `USER:PASSWORD` as the protocol can carry it: no part is empty, the password has neither colon nor semicolon. */
export const isUser = (line: string): boolean =>
  /^\s*[^\s:;*]+\s*:[^:;]+$/.test(line) && line.slice(line.indexOf(":") + 1).trim() !== ""
