// npm run release:version sets the next version from the changesets. npm run release builds the tarballs of all packages,
// stages those whose version is not in the registry yet, with a provenance statement, and tags them; only the workflow
// release.yml can do that. npm run release -- --dry-run builds and checks them.
import { execFileSync } from 'node:child_process'
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { main, step, UserError } from './lib/cli.mjs'
import { packTo } from './lib/pack.mjs'
import { prepare, toolPath } from './lib/prepare.mjs'
import { publishedPackages } from './lib/published.mjs'
import { root, runOrThrow } from './lib/run.mjs'

/** Staged publishing needs 11.15. */
const npm = 'npm@11.19.1'
const isDryRun = process.argv.includes('--dry-run')
const tarballs = join(root, 'dist')

await main(async () => {
  if (process.argv[2] === 'version') return setVersion()
  const repository = process.env.GITHUB_REPOSITORY ?? (isDryRun ? 'owner/name' : undefined)
  if (repository === undefined) {
    throw new UserError(
      'Only the workflow release.yml can state the provenance. Try it with: npm run release -- --dry-run',
    )
  }
  if (!isDryRun) refusePendingChangesets()
  rmSync(tarballs, { recursive: true, force: true })
  await packTo(tarballs, { repository })
  await step('Stage', stageAll)
  if (!isDryRun) await step('Tag', () => changeset('tag'))
})

async function setVersion() {
  await prepare()
  await changeset('version')
}

/** They belong to the next version, which `npm run release:version` sets. */
function refusePendingChangesets() {
  const pending = readdirSync(join(root, '.changeset')).filter((file) => file.endsWith('.md'))
  if (pending.length === 0) return
  throw new UserError(`Run npm run release:version first. Pending: ${pending.join(', ')}.`)
}

/** A staged package is published when a maintainer approves it with a second factor. */
async function stageAll() {
  for (const { folder, manifest } of publishedPackages()) {
    const { name, version } = manifest
    if (isPublished(`${name}@${version}`)) {
      process.stdout.write(`${name}@${version} is in the registry already.\n`)
      continue
    }
    const tarball = join(tarballs, `stowage-${folder}-${version}.tgz`)
    const options = [
      '--loglevel=warn',
      '--access',
      'public',
      '--provenance',
      ...(isDryRun ? ['--dry-run'] : []),
    ]
    await runOrThrow('npx', ['--yes', npm, 'stage', 'publish', tarball, ...options])
  }
}

function isPublished(specifier) {
  const args = ['--yes', npm, 'view', specifier, 'version', '--json']
  try {
    return (
      execFileSync('npx', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }) !== ''
    )
  } catch (error) {
    if (error.stdout?.includes('"E404"')) return false
    throw error
  }
}

function changeset(...args) {
  return runOrThrow(process.execPath, [toolPath('@changesets/cli', 'bin.js'), ...args])
}
