/** CL commands that stay with the job they are run in. */

/** Blanks and comments. */
const nothing = /^(?:\s+|\/\*[^]*?\*\/)*/

/** `?` asks somebody for the rest. Names may be delimited. */
const name = /^(?:\?{1,2}\s*)?(?:"?[\w@#$*]+"?\/)?"?([\w@#$]+)/

const altering = new Set(
  [
    // The library list, and where libraries are.
    ["CHGLIBL", "ADDLIBLE", "RMVLIBLE", "CHGCURLIB", "CHGSYSLIBL", "EDTLIBL", "SETASPGRP"],
    // Attributes of the job, its directory, its variables, how its queries and its debugger work, who is billed for it.
    [
      "CHGJOB",
      "CHGCURDIR",
      "CHDIR",
      "CD",
      "ADDENVVAR",
      "CHGENVVAR",
      "RMVENVVAR",
      "CHGQRYA",
      "STRDBG",
      "ENDDBG",
      "CHGACGCDE"
    ],
    // Commitment control, which the transactions of whoever comes next need, and locks.
    ["STRCMTCTL", "ENDCMTCTL", "ALCOBJ", "DLCOBJ"]
  ].flat()
)

/** Overrides, and files that are opened: gone with the call, unless they are for the job. */
const scoped = /^(?:OVR|DLTOVR$|OPN)/
const ofTheJob = /\*job\b/i

/** It runs another command. */
const another = /qcmdexc/i

/** `complete`: nothing comes after this text. A command that cannot be read may be any. */
export const commandStays = (given: string, complete: boolean): boolean => {
  const text = given.slice(nothing.exec(given)![0].length)
  const match = name.exec(text)
  const verb = match?.[1]?.toUpperCase() ?? ""
  if (!complete && (match === null || match[0].length === text.length)) {
    return true
  }
  return (
    altering.has(verb) ||
    (scoped.test(verb) && (!complete || ofTheJob.test(text))) ||
    (verb === "CALL" && another.test(text))
  )
}
