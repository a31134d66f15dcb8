// npm run release:verify builds the tarballs of all packages twice, in two folders and in two orders, and compares them byte
// for byte. npm run release:verify -- 0.1.0 builds those of a published version from its tag, and compares them with the
// tarballs of the registry. --from names another registry, or a folder with tarballs.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { main, step, UserError } from './lib/cli.mjs'
import { publishedPackages } from './lib/published.mjs'
import { runOrThrow } from './lib/run.mjs'
import { differences } from './lib/tarballs.mjs'

/** The one in which npm has started the script. */
const workspace = process.cwd()
const folder = mkdtempSync(join(tmpdir(), 'stowage-release-'))

await main(async () => {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { from: { type: 'string' } },
  })
  try {
    const [version] = positionals
    const wrong = version === undefined ? await buildTwice() : await rebuild(version, values.from)
    if (wrong.length > 0) throw new UserError(`The tarballs differ:\n  ${wrong.join('\n  ')}`)
    process.stdout.write('All tarballs are equal.\n')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

async function buildTwice() {
  const copies = ['first', 'the second, in a longer path'].map((name) => join(folder, name))
  for (const [index, copy] of copies.entries()) {
    copyWorkspace(copy)
    // What must not matter either: permissions and the time zone.
    process.umask(index === 0 ? 0o022 : 0o077)
    const options = index === 0 ? [] : ['--reverse']
    await step(`Build ${index + 1} of 2`, () =>
      pack(copy, `${copy}-tarballs`, 'owner/name', options, { TZ: `Etc/GMT+${index}` }),
    )
  }
  const [first, second] = copies.map((copy) => `${copy}-tarballs`)
  process.stdout.write(`${readdirSync(first).length} files\n`)
  return differences(first, second)
}

async function rebuild(version, from = 'https://registry.npmjs.org') {
  const copy = join(folder, 'tag')
  checkOut(`@stowage/core@${version}`, copy)
  const names = publishedPackages(copy).map((each) => each.manifest.name)
  const published = from.includes('://') ? download(names, version, from) : from
  const repository = repositoryOf(join(published, readdirSync(published).find(isTarball)))
  process.stdout.write(`The tarballs name the repository ${repository}.\n`)
  const rebuilt = join(folder, 'rebuilt')
  await step('Build', () => pack(copy, rebuilt, repository))
  // The registry has no bills of materials. They are attached to the release.
  for (const name of readdirSync(rebuilt)) if (!isTarball(name)) rmSync(join(rebuilt, name))
  return differences(published, rebuilt)
}

/** The files that git would commit. */
function copyWorkspace(to) {
  const args = ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '--deduplicate']
  for (const file of git(args).split('\0').filter(Boolean)) {
    mkdirSync(dirname(join(to, file)), { recursive: true })
    cpSync(join(workspace, file), join(to, file))
  }
}

function checkOut(tag, to) {
  mkdirSync(to)
  const archive = join(folder, 'tag.tar')
  git(['archive', '--output', archive, `refs/tags/${tag}`])
  execFileSync('tar', ['-xf', archive, '-C', to])
}

function git(args) {
  return execFileSync('git', args, { cwd: workspace, encoding: 'utf8' })
}

function pack(copy, destination, repository, options = [], env = {}) {
  const script = join(copy, 'scripts/pack.mjs')
  return runOrThrow(process.execPath, [script, destination, repository, ...options], {
    ...{ cwd: copy, env },
  })
}

/** npm compares what it downloads with the digest that the registry states. */
function download(names, version, registry) {
  const to = join(folder, 'published')
  mkdirSync(to)
  const specifiers = names.map((name) => `${name}@${version}`)
  const options = ['--silent', '--registry', registry, '--pack-destination', to]
  execFileSync('npm', ['pack', ...options, ...specifiers], { cwd: folder })
  return to
}

function repositoryOf(tarball) {
  const text = execFileSync('tar', ['-xzOf', tarball, 'package/package.json'], { encoding: 'utf8' })
  return /github\.com\/([^/]+\/[^/]+)\.git$/.exec(JSON.parse(text).repository?.url)?.[1]
}

function isTarball(name) {
  return name.endsWith('.tgz')
}
