import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { bundle } from './bundle.mjs'
import { step } from './progress.mjs'
import { must, root } from './run.mjs'

// The package manager comes through npx: Node's corepack fails its signature check on older releases.
const pnpm = 'pnpm@12.21.0'
const stamp = join(root, 'node_modules', '.stowage-installed')

/** Installs and builds what is not up to date; quick when nothing has changed. */
export async function prepare() {
  const wanted = lockDigest()
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted) await step('Install', install)
  await step('Build', build)

  async function install() {
    await must('npx', ['--yes', pnpm, 'install', '--frozen-lockfile', '--reporter=append-only'])
    mkdirSync(dirname(stamp), { recursive: true })
    writeFileSync(stamp, wanted)
  }
}

/** Compiles and bundles what has changed. */
export async function build() {
  await must(process.execPath, [typescript(), '-b'])
  await bundle()
}

/** The entry point of a development tool, so that it is started without a shell or a package manager between. */
export function toolPath(name, file) {
  const require = createRequire(join(root, 'package.json'))
  return join(dirname(require.resolve(`${name}/package.json`)), file)
}

function typescript() {
  return toolPath('typescript', 'bin/tsc')
}

function lockDigest() {
  return createHash('sha256')
    .update(readFileSync(join(root, 'pnpm-lock.yaml')))
    .digest('hex')
}
