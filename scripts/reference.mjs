// The reference of all exports, from their doc comments: .build/api/index.html. Fails where an export has no description
// there: what an editor shows is not always what typedoc finds (a comment within `export { … }` it does not).
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { root } from "./lib/workspace.mjs"

const json = join(root, ".build", "api.json")
const typedoc = join(root, "node_modules", "typedoc", "bin", "typedoc")
const { status } = spawnSync(process.execPath, [typedoc, "--html", join(root, ".build", "api"), "--json", json], {
  cwd: root,
  stdio: "inherit"
})
if (status !== 0) {
  process.exit(status ?? 1)
}

const modules = new Set([2, 4])
/** A package with one module has its exports at once. */
const exportsOf = (node) =>
  (node.children ?? []).flatMap((child) => (modules.has(child.kind) ? exportsOf(child) : child))

/** Of a function it stands with its signatures. */
const isDescribed = ({ comment, signatures = [], type }) =>
  (comment?.summary.length ?? 0) > 0 ||
  [...signatures, ...(type?.declaration?.signatures ?? [])].some(isDescribed) ||
  (type?.declaration !== undefined && isDescribed(type.declaration))

const all = JSON.parse(readFileSync(json, "utf8")).children.flatMap((of) =>
  exportsOf(of).map((it) => ({ ...it, of: of.name }))
)
const bare = all.filter((it) => it.variant !== "reference" && it.name !== "TypeId" && !isDescribed(it))
if (all.length === 0 || bare.length > 0) {
  console.error(`Without a description in the reference: ${bare.map(({ name, of }) => `${of} ${name}`).join(", ")}`)
  process.exitCode = 1
}
