// npm run release:version sets the next version from the changesets. npm run release publishes the packages whose version
// is not in the registry yet, with a provenance statement, and tags them; only the workflow release.yml can do that.
// npm run release -- --dry-run packs and checks them.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { main, step, UserError } from './lib/cli.mjs'
import { pnpm, prepare, toolPath } from './lib/prepare.mjs'
import { withRepository } from './lib/published.mjs'
import { root, runOrThrow } from './lib/run.mjs'

const isDryRun = process.argv.includes('--dry-run')

await main(async () => {
  await prepare()
  if (process.argv[2] === 'version') return changeset('version')
  const repository = process.env.GITHUB_REPOSITORY ?? (isDryRun ? 'owner/name' : undefined)
  if (repository === undefined) {
    throw new UserError(
      'Only the workflow release.yml can state the provenance. Try it with: npm run release -- --dry-run',
    )
  }
  if (!isDryRun) refusePendingChangesets()
  await step('Publish', () => withRepository(repository, publish))
  if (!isDryRun) await step('Tag', () => changeset('tag'))
})

/** They belong to the next version, which `npm run release:version` sets. */
function refusePendingChangesets() {
  const pending = readdirSync(join(root, '.changeset')).filter((file) => file.endsWith('.md'))
  if (pending.length === 0) return
  throw new UserError(`Run npm run release:version first. Pending: ${pending.join(', ')}.`)
}

function publish() {
  const options = ['--recursive', '--no-git-checks', ...(isDryRun ? ['--dry-run'] : [])]
  return runOrThrow('npx', ['--yes', pnpm, 'publish', ...options])
}

function changeset(...args) {
  return runOrThrow(process.execPath, [toolPath('@changesets/cli', 'bin.js'), ...args])
}
