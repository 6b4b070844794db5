// A package's declarations: which ones its exports come to, and whether they compile where it is installed, in a program
// without `skipLibCheck`: they are right, and what they import has its types with it.
import { join, normalize, sep } from "node:path"
import { fail, folderOf, json, require } from "./workspace.mjs"

const ts = require("typescript")

const options = {
  ...{ strict: true, noEmit: true, skipLibCheck: false, types: ["node"], lib: ["lib.es2023.d.ts"] },
  ...{ target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.NodeNext, exactOptionalPropertyTypes: true }
}

/** The declarations of what the package in this folder exports, and those they import. */
const declared = (folder) => {
  const dist = join(folder, "dist")
  const types = Object.values(json(join(folder, "package.json")).exports).flatMap((entry) => entry.types ?? [])
  const program = ts.createProgram(
    types.map((path) => join(folder, path)),
    options
  )
  return {
    program,
    ours: program.getSourceFiles().filter(({ fileName }) => normalize(fileName).startsWith(dist + sep))
  }
}

/** The paths of `declared`. */
export const declarationsOf = (folder) => declared(folder).ours.map(({ fileName }) => normalize(fileName))

/** Whoever writes for Node has these; `@types/…` of anything else is there in this repository only. */
const isBorrowed = (path) => /[\\/]@types[\\/](?!node[\\/])/.test(path)

export const checkDeclarationsAlone = (name) => {
  const { program, ours } = declared(folderOf(name))
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
