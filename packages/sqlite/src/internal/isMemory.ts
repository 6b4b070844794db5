import { hasOption, readName } from "./databaseName.js"

/**
 * Whether a name stands for a database without a file that others could open: in memory, or in a temporary file
 * (https://www.sqlite.org/inmemorydb.html).
 */
export const isMemory = (filename: string): boolean => {
  const name = readName(filename)
  return (
    name.path === "" || name.path === ":memory:" || hasOption(name, "mode", "memory") || hasOption(name, "vfs", "memdb")
  )
}
