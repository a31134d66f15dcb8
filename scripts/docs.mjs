// Builds the documentation site and serves it: npm run docs. With --build it is only built, in docs-site/dist; with
// --check it is also opened in Chromium: links, accessibility, and the width of a phone.
import { copyFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { main, step } from './lib/cli.mjs'
import { prepare } from './lib/prepare.mjs'
import { root, run, runOrThrow } from './lib/run.mjs'

const site = join(root, 'docs-site')
const vitepress = join(site, 'node_modules/vitepress/bin/vitepress.js')

await main(async () => {
  await prepare(['@stowage/docs-site'])
  await buildSite()
  if (process.argv.includes('--check')) return checkSite()
  if (process.argv.includes('--build')) return 0
  return run(process.execPath, [vitepress, 'preview', '--port', process.env.PORT ?? '4173'], {
    cwd: site,
  })
})

async function buildSite() {
  const { collectPages } = await import('../docs-site/lib/collect.mjs')
  const { writeApiReference } = await import('../docs-site/lib/api-reference.mjs')
  const generated = join(site, '.generated')
  await step('Collect pages', () => collectPages(generated))
  await step('API reference', writeApiReference)
  mkdirSync(join(generated, 'public'), { recursive: true })
  copyFileSync(
    join(root, 'examples/shared/public/favicon.svg'),
    join(generated, 'public/favicon.svg'),
  )
  await step('Site', () => runOrThrow(process.execPath, [vitepress, 'build'], { cwd: site }))
}

async function checkSite() {
  const { checkSite: check } = await import('../docs-site/lib/check.mjs')
  return check(join(site, 'dist'))
}
