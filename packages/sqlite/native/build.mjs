// Builds the native pump with the system's C compiler. It is an extra: whatever goes wrong here is told in a line, and
// the portable engine is used instead.
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const here = dirname(fileURLToPath(import.meta.url))
// For a build of another kind: `--output=path`, and behind `--` what the compiler is told besides.
const given = process.argv.slice(2)
const elsewhere = given.find((argument) => argument.startsWith("--output="))?.slice("--output=".length)
const output = elsewhere ?? join(here, "build", "pump.node")
const more = given.includes("--") ? given.slice(given.indexOf("--") + 1) : []
const instead = "the portable engine is used instead."

const say = (text) => process.stderr.write(`@sluice/sqlite: ${text}\n`)

const files = (...extensions) =>
  readdirSync(here)
    .filter((name) => extensions.some((extension) => name.endsWith(extension)))
    .map((name) => join(here, name))

const isUpToDate = () => {
  if (!existsSync(output)) return false
  const built = statSync(output).mtimeMs
  return files(".c", ".h", ".mjs").every((file) => statSync(file).mtimeMs < built)
}

const hasPrebuild = () => existsSync(join(here, "..", "prebuilds", `${process.platform}-${process.arch}.node`))

/** Directories of the headers: Node-API's, and those of the SQLite that the carrier brings. */
const headers = () => {
  const require = createRequire(import.meta.url)
  const directories = [
    require("node-api-headers").include_dir,
    join(dirname(require.resolve("@photostructure/sqlite/package.json")), "src", "upstream")
  ]
  return existsSync(join(directories[1], "sqlite3ext.h")) ? directories : undefined
}

/**
 * Windows wants to know at link time where every symbol comes from: MinGW's dlltool makes libraries of imports from the
 * lists of what node.exe exports. Undefined without dlltool, elsewhere none are needed.
 */
const imports = (folder) => {
  if (process.platform !== "win32") return []
  const { def_paths: lists } = createRequire(import.meta.url)("node-api-headers")
  const libraries = Object.entries(lists).map(([name, list]) => [list, join(folder, `${name}.a`)])
  const made = libraries.every(([list, library]) => spawnSync("dlltool", ["-d", list, "-l", library]).status === 0)
  return made ? [...libraries.map(([, library]) => library), "-static-libgcc"] : undefined
}

const flags = (directories, libraries, target) => [
  ...["-std=c11", "-shared", "-O2", "-fvisibility=hidden"],
  ...(process.platform === "win32" ? [] : ["-fPIC"]),
  // Without its symbols, which only a debugger wants, it is a seventh smaller. Apple's linker has another way.
  ...(process.platform === "darwin" || more.length > 0 ? [] : ["-s"]),
  ...(process.platform === "darwin"
    ? ["-undefined", "dynamic_lookup", "-arch", process.arch === "x64" ? "x86_64" : process.arch]
    : []),
  ...more,
  ...directories.map((directory) => `-I${directory}`),
  ...files(".c"),
  ...libraries,
  ...["-o", target]
]

/** Runs the first compiler that there is. */
const compile = (parameters) => {
  const compilers = [process.env.CC?.trim() ?? "", "cc", "gcc", "clang"].filter((command) => command !== "")
  for (const compiler of compilers) {
    const [command, ...more] = compiler.split(/\s+/)
    const result = spawnSync(command, [...more, ...parameters], { encoding: "utf8" })
    if (result.error?.code !== "ENOENT") return result
  }
  return undefined
}

const firstError = (result) => {
  const lines = (result.stderr ?? "").split("\n").filter((line) => line.trim() !== "")
  return lines.find((line) => /\berror\b/i.test(line)) ?? lines[0] ?? result.error?.message ?? "(it said nothing)"
}

const build = () => {
  if (isUpToDate()) return
  const directories = headers()
  if (directories === undefined) {
    say(`SQLite's headers were not found, so the native pump was not built; ${instead}`)
    return
  }
  mkdirSync(dirname(output), { recursive: true })
  const libraries = imports(dirname(output))
  if (libraries === undefined) {
    if (!hasPrebuild()) say(`without MinGW-w64 (gcc and dlltool) the native pump was not built; ${instead}`)
    return
  }
  // Not in place: a running process may have the old one mapped.
  const target = `${output}.${process.pid}`
  try {
    const result = compile(flags(directories, libraries, target))
    if (result === undefined) {
      say(`no C compiler found, so the native pump was not built; ${instead}`)
    } else if (result.status === 0) {
      renameSync(target, output)
    } else {
      say(`the native pump did not compile; ${instead}`)
      process.stderr.write(firstError(result) + "\n")
    }
  } finally {
    rmSync(target, { force: true })
  }
}

try {
  build()
} catch (error) {
  say(`the native pump was not built (${String(error?.message ?? error).split("\n")[0]}); ${instead}`)
}
