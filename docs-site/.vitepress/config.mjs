import { defineConfig } from 'vitepress'
import { slugify } from '../../scripts/lib/markdown.mjs'
import { searchableHtml } from '../lib/search-index.mjs'
import { apiSidebars, guideSidebars } from '../lib/sidebars.mjs'

/**
 * Leaves words that each page has, and numbers, out of the search. It also runs in the browser, so it uses nothing from
 * around it.
 */
const processTerm = (term) => {
  const word = term.toLowerCase()
  const isCommon =
    /^(a|all|also|an|and|are|as|at|be|but|by|can|does|for|from|has|have|if|in|is|it|its|no|not|of|on|one|only|or|so|than|that|the|then|there|these|they|this|to|was|which|with|you|\d+)$/
  return isCommon.test(word) ? null : word
}

/** Long names of packages and metrics break after `/` and `_` on a phone. A copy of the text does not. */
function breakLongNames(markdown) {
  const { code_inline: render } = markdown.renderer.rules
  markdown.renderer.rules.code_inline = (...args) =>
    render(...args).replaceAll(/(?<=>[^<]*\w[/_])(?=\w)/g, '<wbr>')
}

/** Guides come before the API reference, whose pages repeat their words. */
const boostDocument = (id) => (id.includes('/api/') ? 0.3 : 1)

export default defineConfig({
  title: 'Stowage',
  description:
    'A cache and a session store for Node: the environment chooses memory, a file, Redis, Memcached, DynamoDB or PostgreSQL',
  lang: 'en',
  srcDir: '.generated',
  outDir: 'dist',
  cacheDir: '.cache',
  cleanUrls: true,
  // The sidebars are in a file of their own instead of in each page.
  metaChunk: true,
  head: [['link', { rel: 'icon', href: '/favicon.svg', type: 'image/svg+xml' }]],
  // The API of a package and the code of an example are pages of their own, some of them large.
  vite: { build: { chunkSizeWarningLimit: 2_000 } },
  markdown: {
    anchor: { slugify },
    headers: { slugify },
    config: breakLongNames,
    theme: { light: 'github-light-high-contrast', dark: 'github-dark-default' },
  },
  themeConfig: {
    logo: { src: '/favicon.svg', alt: '' },
    search: {
      provider: 'local',
      options: {
        _render: searchableHtml,
        miniSearch: { options: { processTerm }, searchOptions: { boostDocument } },
      },
    },
    outline: { level: [2, 3], label: 'On this page' },
    nav: [
      { text: 'Getting started', link: '/getting-started' },
      { text: 'Drivers', link: '/choose-a-driver' },
      { text: 'Examples', link: '/examples/' },
      { text: 'API', link: '/api/' },
    ],
    sidebar: { ...apiSidebars(), ...guideSidebars() },
    footer: { message: 'MIT licence' },
  },
})
