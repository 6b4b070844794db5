/** CL commands that stay with the job they are run in. */

/** `?` asks somebody for the rest. */
const name = /^(?:\?{1,2}\s*)?(?:[\w@#$*]+\/)?([\w@#$]+)/

/** The library list, attributes of the job, where its libraries are. */
const altering = /^(?:chglibl|addlible|rmvlible|chgcurlib|chgsyslibl|chgjob|setaspgrp)$/i
const override = /^ovr/i
const ofTheJob = /\bovrscope\s*\(\s*\*job\s*\)/i

/** `complete`: nothing comes after this text. A command that cannot be read may be any. */
export const commandStays = (given: string, complete: boolean): boolean => {
  const text = given.trimStart()
  const match = name.exec(text)
  const verb = match?.[1] ?? ""
  if (!complete && (match === null || match[0].length === text.length)) {
    return true
  }
  return altering.test(verb) || (override.test(verb) && (!complete || ofTheJob.test(text)))
}
