import { existsSync, readFileSync } from 'node:fs'
import { pageGroups } from './pages.mjs'

const apiSidebar = new URL('../.generated/api/typedoc-sidebar.json', import.meta.url)

/** The pages of packages and of examples have sidebars of their own, so that none is longer than a screen. */
export function guideSidebars() {
  const groups = pageGroups().map(({ text, pages }) => ({ text, items: pages.map(toItem) }))
  const isIn = (folder) => (group) => group.items.every(({ link }) => link.startsWith(folder))
  const packages = groups.find(isIn('/packages/'))
  const examples = groups.find(isIn('/examples/'))
  const guide = groups.filter((group) => group !== packages && group !== examples)
  guide
    .at(-1)
    .items.push(
      { text: 'Packages', link: packages.items[0].link },
      { text: 'All exports', link: '/api/' },
    )
  packages.items.unshift({ text: '@stowage/core', link: '/cache' })
  packages.items.push({ text: '@stowage/telemetry', link: '/telemetry' })
  examples.items.unshift({ text: 'All examples', link: '/examples/' })
  return { '/packages/': [packages, home], '/examples/': [examples, home], '/': guide }
}

const home = {
  text: 'Guide',
  items: [
    { text: 'What Stowage is', link: '/' },
    { text: 'Getting started', link: '/getting-started' },
  ],
}

function toItem({ text, route }) {
  return { text, link: `/${route.replace(/(^|\/)index$/, '$1')}` }
}

/**
 * One sidebar per module, from the one that typedoc-vitepress-theme writes. A sidebar of all modules would be most of
 * each page. Functions and types are on the page of their module, with a list of their own.
 */
export function apiSidebars() {
  const modules = existsSync(apiSidebar) ? JSON.parse(readFileSync(apiSidebar, 'utf8')) : []
  const links = modules.map(({ text, link }) => ({ text, link }))
  const all = { text: 'Packages', link: '/api/', items: links }
  const sidebars = modules.map(({ text, link, items = [] }) => [
    link,
    [{ text, link, items: items.map(withoutToggle) }, all],
  ])
  // VitePress takes the longest path that matches.
  return { ...Object.fromEntries(sidebars), '/api/': [all] }
}

/** A group that can be collapsed has a button within a button. */
function withoutToggle({ collapsed, items, ...item }) {
  return items === undefined ? item : { ...item, items: items.map(withoutToggle) }
}
