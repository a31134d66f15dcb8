import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { licencesTable } from '../scripts/lib/licences-table.mjs'
import { splitCode } from '../scripts/lib/markdown.mjs'
import { filesForRegistry, publishedPackages } from '../scripts/lib/published.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string) => readFileSync(join(root, path), 'utf8')
const published = publishedPackages()
const names = published.map(({ manifest }) => manifest.name as string).sort()

describe.each(published)('$manifest.name', ({ folder, manifest }) => {
  test('is published with its provenance, and with what npm shows of a package', () => {
    expect(manifest.publishConfig).toEqual({ access: 'public', provenance: true })
    expect(manifest.name).toBe(`@stowage/${folder}`)
    expect(manifest.description).toMatch(/^[A-Z].*[^.]$/)
    expect(manifest.keywords).toContain('cache')
    expect(manifest).toMatchObject({ license: 'MIT', engines: { node: '>=20.19' } })
    expect(manifest.files).toEqual(expect.arrayContaining(['dist', 'src']))
  })
})

test('a published package names the repository, and the links of its README lead there', () => {
  const url = 'https://github.com/owner/name'
  const isPath = (link: string) => link.startsWith(`${url}/blob/HEAD/`)
  for (const { file, published: text } of filesForRegistry('owner/name')) {
    const folder = relative(root, dirname(file))
    if (file.endsWith('.json')) {
      expect(JSON.parse(text)).toMatchObject({
        repository: { type: 'git', url: `git+${url}.git`, directory: folder },
        homepage: `${url}/tree/HEAD/${folder}#readme`,
        bugs: `${url}/issues`,
      })
    }
    for (const link of file.endsWith('.md') ? linksOf(text) : []) {
      const [path = ''] = link.slice(`${url}/blob/HEAD/`.length).split('#')
      if (isPath(link)) expect(existsSync(join(root, path)), link).toBe(true)
      else expect(link).toMatch(/^(https:|#)/)
    }
  }
})

test('all published packages have one version, and are released together', () => {
  expect(new Set(published.map(({ manifest }) => manifest.version)).size).toBe(1)
  const [fixed] = JSON.parse(read('.changeset/config.json')).fixed
  expect([...fixed].sort()).toEqual(names)
})

test('every changeset names published packages only', () => {
  const files = readdirSync(join(root, '.changeset')).filter((file) => file.endsWith('.md'))
  for (const file of files) {
    const [, header = ''] = read(`.changeset/${file}`).split(/^---$/m)
    const named = [...header.matchAll(/^['"](.+)['"]: (patch|minor|major)$/gm)].map(
      ([, name]) => name,
    )
    expect(named.length, file).toBeGreaterThan(0)
    expect(names, file).toEqual(expect.arrayContaining(named))
  }
})

describe('the plan of a release', () => {
  const folder = mkdtempSync(join(tmpdir(), 'stowage-release-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  test('raises all packages by the kind of the change, in a dependency of others too', async () => {
    copyManifests(folder)
    const text = `---\n'@stowage/core': minor\n---\n\nA change.\n`
    writeFileSync(join(folder, '.changeset/a-change.md'), text)
    const { releases } = await releasePlan(folder)
    expect(releases.map(({ name }) => name).sort()).toEqual(names)
    expect(new Set(releases.map(({ type }) => type))).toEqual(new Set(['minor']))
  })
})

test('the workflows test the supported versions of Node, and may sign the provenance', () => {
  const supported = [...read('docs/versions.md').matchAll(/^\| (\d\d) \|/gm)].map(
    ([, version]) => version,
  )
  expect(read('.github/workflows/ci.yml')).toContain(`node: [${supported.join(', ')}]`)
  expect(read('.github/workflows/release.yml')).toContain('id-token: write')
})

test('the page on versions lists the licence of each package that users install', () => {
  expect(read('docs/versions.md')).toContain(licencesTable(root))
})

function linksOf(text: string): string[] {
  return splitCode(text)
    .filter(([isCode]) => !isCode)
    .flatMap(([, prose]) =>
      [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link as string),
    )
}

/** A workspace that has only what the plan of a release depends on. */
function copyManifests(to: string): void {
  mkdirSync(join(to, '.changeset'))
  for (const file of [
    'package.json',
    'pnpm-workspace.yaml',
    'pnpm-lock.yaml',
    '.changeset/config.json',
  ]) {
    cpSync(join(root, file), join(to, file))
  }
  for (const { file, folder } of published) {
    cpSync(file, join(to, 'packages', folder, 'package.json'))
  }
}

interface ReleasePlan {
  readonly releases: readonly { readonly name: string; readonly type: string }[]
}

function releasePlan(workspace: string): Promise<ReleasePlan> {
  // A dependency of the command, which itself compares with the main branch of the repository.
  const command = createRequire(join(root, 'package.json')).resolve('@changesets/cli/package.json')
  const { default: plan } = createRequire(command)('@changesets/get-release-plan')
  return plan(workspace)
}
