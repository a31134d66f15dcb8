import { splitCode } from '../../scripts/lib/markdown.mjs'

/**
 * The part of a page that the search finds, as HTML: of a guide, its text without code; of a page of the API reference,
 * only its title and the names of its members, because their words would be most of the index. To render less is also
 * faster: most of the time goes to the colours of code.
 *
 * @param {string} text Markdown of the page
 * @param {{ relativePath: string }} env
 * @param {{ render(text: string, env: object): string }} markdown
 */
export function searchableHtml(text, env, markdown) {
  if (/^search: false$/m.test(text)) return ''
  if (env.relativePath.startsWith('api/')) return apiHtml(text)
  return markdown.render(withoutCode(text), env)
}

function withoutCode(text) {
  const withoutSources = text.replaceAll(/^````\w*\n.*?^````$/gms, '')
  return splitCode(withoutSources)
    .map(([isCode, part]) => (isCode ? '' : part))
    .join('')
    .replaceAll(/^:::.*$/gm, '')
}

function apiHtml(text) {
  const title = /^# (.+)$/m.exec(text)?.[1]
  if (title === undefined) return ''
  const names = [...text.matchAll(/^### (\w+)(?:\(\))?$/gm)].map(([, name]) => name)
  const members = [...new Set(names)]
  return `<h1>${plain(title)} <a href="#"></a></h1>${members.join(' ')} `
}

function plain(title) {
  return title.replaceAll(/\\|<|>/g, '')
}
