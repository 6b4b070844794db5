/** Runs one cell of one section and sends its metrics to the harness. */
const [section, cell, options] = process.argv.slice(2)

const { default: definition } = await import(new URL(`sections/${section}.mjs`, import.meta.url).href)
const chosen = definition.cells(JSON.parse(options)).find(({ name }) => name === cell)
const metrics = await chosen.run(JSON.parse(options))
process.send(metrics, () => process.disconnect())
