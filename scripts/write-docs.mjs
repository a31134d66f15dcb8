// Writes docs/semantics.md from the conformance cases, and the licences in docs/versions.md from the lockfile:
// node scripts/write-docs.mjs. Tests check that they are current.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { main } from './lib/cli.mjs'
import { prepare } from './lib/prepare.mjs'
import { root } from './lib/run.mjs'

await main(async () => {
  await prepare()
  const { semanticsPage } = await import('./lib/semantics-page.mjs')
  writeFileSync(join(root, 'docs/semantics.md'), await semanticsPage())
  const { licencesTable } = await import('./lib/licences-table.mjs')
  const versions = join(root, 'docs/versions.md')
  const table = /^\| licence \| packages \|\n(?:\|.*(?:\n|$))+/m
  const text = readFileSync(versions, 'utf8')
  writeFileSync(
    versions,
    text.replace(table, () => `${licencesTable(root)}\n`),
  )
})
