// Writes docs/semantics.md from the conformance cases: node scripts/write-docs.mjs. A test checks that it is current.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { main } from './lib/cli.mjs'
import { prepare } from './lib/prepare.mjs'
import { root } from './lib/run.mjs'

await main(async () => {
  await prepare()
  const { semanticsPage } = await import('./lib/semantics-page.mjs')
  writeFileSync(join(root, 'docs/semantics.md'), await semanticsPage())
})
