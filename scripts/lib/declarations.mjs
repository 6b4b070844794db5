// Whether a package's declarations compile where it is installed, in a program without `skipLibCheck`: they are right, and
// what they import has its types with it.
import { join, sep } from "node:path"
import { fail, folderOf, require } from "./workspace.mjs"

const ts = require("typescript")

const options = {
  ...{ strict: true, noEmit: true, skipLibCheck: false, types: ["node"], lib: ["lib.es2023.d.ts"] },
  ...{ target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.NodeNext, exactOptionalPropertyTypes: true }
}

/** Whoever writes for Node has these; `@types/…` of anything else is there in this repository only. */
const isBorrowed = (path) => /[\\/]@types[\\/](?!node[\\/])/.test(path)

export const checkDeclarationsAlone = (name) => {
  const dist = join(folderOf(name), "dist")
  const program = ts.createProgram([join(dist, "index.d.ts")], options)
  const isOurs = ({ fileName }) => fileName.replaceAll("/", sep).startsWith(dist + sep)
  const ours = program.getSourceFiles().filter(isOurs)
  if (ours.length === 0) fail(`@sluice/${name} has no declarations`)
  for (const file of ours) {
    for (const { messageText } of program.getSemanticDiagnostics(file)) {
      fail(`@sluice/${name}: ${file.fileName}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`)
    }
    for (const { fileName: imported } of ts.preProcessFile(file.text, true, true).importedFiles) {
      const mode = ts.ModuleKind.ESNext
      const { resolvedModule } = ts.resolveModuleName(
        imported,
        file.fileName,
        options,
        ts.sys,
        undefined,
        undefined,
        mode
      )
      if (isBorrowed(resolvedModule?.resolvedFileName ?? "")) {
        fail(`@sluice/${name}: ${file.fileName} has types of "${imported}", which whoever installs the package lacks`)
      }
    }
  }
}
