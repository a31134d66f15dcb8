// Builds the published packages, and writes their tarballs and bills of materials to a folder. They do not depend on the
// order, which --reverse reverses.
// node scripts/pack.mjs <folder> <owner/name of the repository> [--reverse]
import { resolve } from 'node:path'
import { main, UserError } from './lib/cli.mjs'
import { packTo } from './lib/pack.mjs'

await main(() => {
  const [destination, repository, option] = process.argv.slice(2)
  if (repository === undefined) {
    throw new UserError('Usage: node scripts/pack.mjs <folder> <owner/name> [--reverse]')
  }
  return packTo(resolve(destination), { repository, reverse: option === '--reverse' })
})
