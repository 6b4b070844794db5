/** What lies where SQLite is to open something: it says little of that itself. */
import { realpathSync, statSync } from "node:fs"
import { readName } from "../databaseName.js"

/** The path that a name leads SQLite to. */
const pathOf = (name: string): string => {
  const { path } = readName(name)
  return process.platform === "win32" && name.startsWith("file:") ? path.replace(/^\/(?=[a-z]:)/i, "") : path
}

const statOf = (path: string) => {
  try {
    return statSync(path, { bigint: true })
  } catch {
    return undefined
  }
}

/** Undefined where there is none, or SQLite shall say what is wrong with the path. */
export const fileAt = (name: string) => statOf(pathOf(name))

export const isDirectoryAt = (name: string): boolean => fileAt(name)?.isDirectory() === true

/** SQLite finds a database's companions beside the file that a link leads to. */
const resolved = (path: string): string => {
  try {
    return realpathSync(path)
  } catch {
    return path
  }
}

/** Of a database and its companions one that is a FIFO: SQLite would wait in it until somebody opens the other end. */
export const fifoAt = (name: string): string | undefined => {
  if (name === "" || name === ":memory:") {
    return undefined
  }
  const path = resolved(pathOf(name))
  return ["", "-journal", "-wal", "-shm"].map((suffix) => path + suffix).find((file) => statOf(file)?.isFIFO() === true)
}
