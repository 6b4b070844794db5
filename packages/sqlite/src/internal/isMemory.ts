/** Whether a name of a file stands for a database without one that others could open. */
export const isMemory = (filename: string): boolean =>
  filename === "" || filename === ":memory:" || /^file:(:memory:|[^?]*\?(.*&)?mode=memory)/.test(filename)
