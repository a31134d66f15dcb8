// Writes what this version stores, for the tests that read it with later versions: node scripts/write-fixtures.mjs [folder].
// A release whose layout differs from that of the latest fixtures gets a folder of its own, named after its version.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { main, UserError } from './lib/cli.mjs'

await main(async () => {
  const [folder] = process.argv.slice(2)
  if (folder === undefined)
    throw new UserError('Usage: node scripts/write-fixtures.mjs test/upgrade/0.2')
  const { layouts } = await import('../test/upgrade/layouts.mjs')
  mkdirSync(folder, { recursive: true })
  for (const [name, write] of Object.entries(layouts)) {
    const text = JSON.stringify(await write(), undefined, 2)
    writeFileSync(join(folder, `${name}.json`), `${text}\n`)
  }
  // A load and a slot of a limit are not over, so that what they store is a part of the fixtures.
  process.exit()
})
