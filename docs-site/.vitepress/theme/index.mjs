import DefaultTheme from 'vitepress/theme-without-fonts'
import { h } from 'vue'
import './style.css'

export default {
  extends: DefaultTheme,
  Layout: () => h(DefaultTheme.Layout, null, { 'not-found': notFound }),
}

const pages = [
  ['/getting-started', 'Getting started'],
  ['/choose-a-driver', 'Choose a driver'],
  ['/configuration', 'Configuration'],
  ['/sessions', 'Sessions'],
  ['/errors', 'Errors and remedies'],
  ['/api/', 'API'],
]

/** Instead of the page of VitePress, which leads to the front page only. */
function notFound() {
  const links = pages.map(([href, text]) => h('li', h('a', { href }, text)))
  return h('main', { class: 'vp-doc not-found' }, [
    h('h1', 'This page does not exist'),
    h('p', 'It may have moved. Search for it, or begin with one of these:'),
    h('ul', links),
  ])
}
