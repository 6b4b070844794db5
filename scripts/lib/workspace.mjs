// What the scripts of the repository share: where things are, how npm is called, how a package is packed.
import { execFileSync } from "node:child_process"
import { readFileSync, realpathSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
export const require = createRequire(join(root, "package.json"))

/** Folders of the packages that are published, those that others depend on first. */
export const published = ["sql", "sqlite", "mapepire", "mapepire-server"]

export const folderOf = (name) => join(root, "packages", name)

export const json = (path) => JSON.parse(readFileSync(path, "utf8"))

/** The npm that runs this script (it need not be in PATH under that name): a program, and its first arguments. */
export const npmCommand = () =>
  process.env.npm_execpath === undefined ? ["npm"] : [process.execPath, process.env.npm_execpath]

/** Runs npm; answers what it printed. */
export const npm = (cwd, parameters, env = process.env) => {
  const [command, ...before] = npmCommand()
  return execFileSync(command, [...before, ...parameters], {
    cwd,
    env,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"]
  })
}

/** Packs one package; answers the tarball's path, the paths in it, and its size in bytes, packed and unpacked. */
export const pack = (name, destination) => {
  const output = npm(folderOf(name), ["pack", "--json", "--pack-destination", destination])
  // Scripts that npm runs on the way may print before the JSON does. npm 11 answers a list.
  const answer = JSON.parse(output.slice(output.search(/^[[{]/m)))
  const { filename, files, size, unpackedSize } = Array.isArray(answer) ? answer[0] : Object.values(answer)[0]
  return { tarball: join(destination, filename), paths: files.map(({ path }) => path), size, unpackedSize }
}

/** Whether this file (its `import.meta.filename`) is the program that runs, and not imported by it. */
export const isMain = (filename) => realpathSync(process.argv[1]) === filename

/** Something that a check has found: told in its own words, without a stack. */
export class Found extends Error {}

export const fail = (text) => {
  throw new Found(text)
}
