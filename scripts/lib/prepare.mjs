import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { bundle } from './bundle.mjs'
import { step } from './cli.mjs'
import { root, runOrThrow } from './run.mjs'

// Run through npx, because the corepack of older Node releases cannot verify the signatures of current pnpm releases.
const pnpm = 'pnpm@12.21.0'
const installedDigest = join(root, 'node_modules', '.stowage-installed')

/** Installs the dependencies if the lockfile has changed, and builds the packages that have changed. */
export async function prepare() {
  const digest = lockfileDigest()
  if (!existsSync(installedDigest) || readFileSync(installedDigest, 'utf8') !== digest) {
    await step('Install', () => install(digest))
  }
  await step('Build', build)
}

/** Compiles and bundles the packages that have changed. */
export async function build() {
  await runOrThrow(process.execPath, [toolPath('typescript', 'bin/tsc'), '-b'])
  await bundle()
}

/** The path of a file of a development dependency, to start it with Node: without a shell or the package manager. */
export function toolPath(name, file) {
  const require = createRequire(join(root, 'package.json'))
  return join(dirname(require.resolve(`${name}/package.json`)), file)
}

async function install(digest) {
  await runOrThrow('npx', ['--yes', pnpm, 'install', '--frozen-lockfile', '--reporter=append-only'])
  mkdirSync(dirname(installedDigest), { recursive: true })
  writeFileSync(installedDigest, digest)
}

function lockfileDigest() {
  return createHash('sha256')
    .update(readFileSync(join(root, 'pnpm-lock.yaml')))
    .digest('hex')
}
