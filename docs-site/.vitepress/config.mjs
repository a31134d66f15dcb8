import { defineConfig } from 'vitepress'
import { slugify } from '../../scripts/lib/markdown.mjs'
import { apiSidebars, guideSidebars } from '../lib/sidebars.mjs'

/** Guides come before the API reference, whose pages repeat their words. */
const boostDocument = (id) => (id.includes('/api/') ? 0.3 : 1)

export default defineConfig({
  title: 'Stowage',
  description:
    'A cache and a session store for Node: the environment chooses memory, a file, Redis, Memcached or DynamoDB',
  lang: 'en',
  srcDir: '.generated',
  outDir: 'dist',
  cacheDir: '.cache',
  cleanUrls: true,
  head: [['link', { rel: 'icon', href: '/favicon.svg', type: 'image/svg+xml' }]],
  // The API of a package and the code of an example are pages of their own, some of them large.
  vite: { build: { chunkSizeWarningLimit: 2_000 } },
  markdown: {
    anchor: { slugify },
    headers: { slugify },
    theme: { light: 'github-light-high-contrast', dark: 'github-dark-default' },
  },
  themeConfig: {
    logo: { src: '/favicon.svg', alt: '' },
    search: { provider: 'local', options: { miniSearch: { searchOptions: { boostDocument } } } },
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
