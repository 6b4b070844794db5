// Writes THIRD-PARTY-NOTICES.md: what the published packages bring along or ask for, with its licence, as it is installed
// here. `--check` says whether the file is right instead. Fails on a licence that nobody has thought about yet.
//
//     npm run notices
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fail, folderOf, Found, isMain, json, published, root } from "./lib/workspace.mjs"

const file = join(root, "THIRD-PARTY-NOTICES.md")

/** Licences that ask for nothing but to be named. */
const allowed = new Set([
  "0BSD",
  "Apache-2.0",
  "BlueOak-1.0.0",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "CC0-1.0",
  "ISC",
  "MIT"
])

/** Where Node would find it from there. */
const find = (name, from) => {
  for (let path = from; ; path = join(path, "..")) {
    const candidate = join(path, "node_modules", name)
    if (existsSync(join(candidate, "package.json"))) return candidate
    if (path === root) return undefined
  }
}

/** Everything that is installed with the package: its dependencies, and theirs. Optional ones where they are here. */
const collect = (folder, found = new Map()) => {
  const {
    dependencies,
    optionalDependencies,
    peerDependencies,
    peerDependenciesMeta = {}
  } = json(join(folder, "package.json"))
  const needed = Object.keys({ ...dependencies, ...peerDependencies }).filter(
    (name) => !peerDependenciesMeta[name]?.optional && !(name in (optionalDependencies ?? {}))
  )
  for (const name of needed.filter((name) => !name.startsWith("@sluice/"))) {
    const path = find(name, folder) ?? fail(`${name} is not installed, so its licence is not known: npm ci`)
    if (found.has(path)) continue
    const { license, version } = json(join(path, "package.json"))
    if (!allowed.has(license)) fail(`${name} ${version} has the licence ${license}: is that all right?`)
    found.set(path, { name, version, license })
    collect(path, found)
  }
  return found
}

const row = (cells) => `| ${cells.join(" | ")} |`

/** Columns as wide as their widest cell, as the formatter wants them. */
const table = (head, rows) => {
  const widths = head.map((title, index) => Math.max(...[head, ...rows].map((cells) => cells[index].length)))
  const padded = (cells) => row(cells.map((cell, index) => cell.padEnd(widths[index])))
  return [padded(head), row(widths.map((width) => "-".repeat(width))), ...rows.map(padded)].join("\n")
}

const render = () => {
  const uses = new Map()
  for (const name of published) {
    for (const one of collect(folderOf(name)).values()) {
      const key = `${one.name} ${one.version}`
      const known = uses.get(key) ?? { ...one, by: [] }
      uses.set(key, { ...known, by: [...known.by, name] })
    }
  }
  const rows = [...uses.values()].sort((a, b) => (`${a.name} ${a.version}` < `${b.name} ${b.version}` ? -1 : 1))
  return `# Third-party notices

Made by \`npm run notices\`; do not edit it.

No code of others is copied into the published packages. Two things come close:

- The pump of \`@sluice/sqlite\` (\`prebuilds/*.node\`) is compiled against the headers of SQLite, which is in the
  [public domain](https://www.sqlite.org/copyright.html), and of Node-API
  ([node-api-headers](https://www.npmjs.com/package/node-api-headers), MIT, Copyright Node.js API collaborators).
- \`@photostructure/sqlite\`, a dependency, contains SQLite itself.

Everything else is installed beside the packages, each with its own licence file in \`node_modules\`. Versions are those
that the tests run with.

${table(
  ["package", "version", "licence", "installed for"],
  rows.map(({ by, license, name, version }) => [name, version, license, by.join(", ")])
)}
`
}

export const checkNotices = () => {
  if (!existsSync(file) || readFileSync(file, "utf8") !== render()) {
    fail("THIRD-PARTY-NOTICES.md is not what the dependencies are now: npm run notices")
  }
}

if (isMain(import.meta.filename)) {
  try {
    if (process.argv.includes("--check")) checkNotices()
    else writeFileSync(file, render())
  } catch (error) {
    console.error(error instanceof Found ? error.message : error)
    process.exitCode = 1
  }
}
