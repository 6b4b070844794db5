// Makes versions and changelogs of the pending changesets: `changeset version`, and what it does not do.
//
// All packages have one version, and ask for each other by it (`^0.2.0`). changesets takes a peer that leaves its range
// for a breaking change and would make 1.0.0 of every new feature; so it sees an open range, which is closed again here.
//
//     npm run release:version
import { execFileSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { folderOf, json, npm, published, require, root } from "./lib/workspace.mjs"

const manifests = published.map((name) => join(folderOf(name), "package.json"))

/** Sets the ranges of our own packages among the peers. */
const setPeers = (range) => {
  for (const path of manifests) {
    const text = readFileSync(path, "utf8")
    const peers = /"peerDependencies": \{[^}]*\}/.exec(text)[0]
    const changed = peers.replaceAll(/("@sluice\/[^"]+": )"[^"]*"/g, `$1"${range}"`)
    writeFileSync(path, text.replace(peers, changed))
  }
}

const command = join(dirname(require.resolve("@changesets/cli/package.json")), "bin.js")

setPeers(">=0.0.0")
try {
  execFileSync(process.execPath, [command, "version"], { cwd: root, stdio: "inherit" })
} finally {
  setPeers(`^${json(manifests[0]).version}`)
}
// The lockfile has the versions, too.
npm(root, ["install", "--package-lock-only", "--no-audit", "--no-fund"])
