// Publishes what the registry does not have yet: `changeset publish`. In GitHub's workflow the packages say before where
// their sources are, or the registry refuses their provenance; a fork publishes its own address.
//
//     npm run release:publish
import { execFileSync } from "node:child_process"
import { dirname, join } from "node:path"
import { npm, published, require, root } from "./lib/workspace.mjs"

const { GITHUB_REPOSITORY: repository, GITHUB_SERVER_URL: server } = process.env

if (repository !== undefined && server !== undefined) {
  for (const name of published) {
    const address = ["type=git", `url=git+${server}/${repository}.git`, `directory=packages/${name}`]
    npm(root, ["pkg", "set", "--workspace", `@sluice/${name}`, ...address.map((field) => `repository.${field}`)])
  }
}
const command = join(dirname(require.resolve("@changesets/cli/package.json")), "bin.js")
execFileSync(process.execPath, [command, "publish"], { cwd: root, stdio: "inherit" })
