import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { mapLinks, slugify, splitCode } from '../../scripts/lib/markdown.mjs'
import { pageGroups, root } from './pages.mjs'
import { codeSection, exampleCodePage, sourcePage } from './source-code.mjs'

/**
 * Writes the pages of the site to a folder: the Markdown of the workspace with links that work in the site. A file or
 * folder of the workspace to which a page links becomes a page with its source.
 */
export function collectPages(folder) {
  rmSync(folder, { recursive: true, force: true })
  const pages = pageGroups().flatMap((group) => group.pages)
  const site = new Site(pages)
  for (const page of pages) write(folder, page.route, site.render(page))
  for (const page of pages) {
    const code = exampleCodePage(page)
    if (code !== undefined) write(folder, code.route, code.text)
  }
  for (const [path, route] of site.sources) write(folder, route, sourcePage(path))
}

class Site {
  /** Route of each source file to which a page links, by its path in the workspace. */
  sources = new Map()
  #routes = new Map()
  #sections = new Map()

  constructor(pages) {
    for (const { source, section, route } of pages) {
      if (section === undefined) this.#routes.set(source, route)
      else this.#sections.set(`${source}#${slugify(section)}`, route)
    }
  }

  render(page) {
    const text = readFileSync(join(root, page.source), 'utf8')
    const body = page.section === undefined ? text : sectionOf(text, page.section)
    const linked = mapLinks(body, (path, hash) => this.#target(page, path, hash))
    return `${frontmatter(page)}${fencedBlocks(titledBlocks(linked))}${codeSection(page)}`
  }

  #target({ source, section }, path, hash) {
    if (path === '' && section === undefined) return hash
    const file = path === '' ? source : posix.normalize(posix.join(posix.dirname(source), path))
    const route = this.#sections.get(`${file}${hash}`) ?? this.#routeOf(file)
    return `/${route.replace(/(^|\/)index$/, '$1')}${this.#sections.has(`${file}${hash}`) ? '' : hash}`
  }

  #routeOf(file) {
    const path = file.replace(/\/$/, '')
    const page = this.#routes.get(path) ?? this.#routes.get(posix.join(path, 'README.md'))
    if (page !== undefined) return page
    if (path === 'README.md') return 'index'
    const route = `source/${path.replaceAll(/[^\w/-]/g, '-')}`
    this.sources.set(path, route)
    return route
  }
}

function write(folder, route, text) {
  const file = join(folder, `${route}.md`)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}

/**
 * Pages without an outline, in favour of wider text: the front page is short, the others have wide tables. Figures do
 * not wrap in their cells.
 */
const layouts = {
  index: 'front',
  'choose-a-driver': 'wide',
  speed: 'wide figures',
  'side-by-side': 'wide figures',
  'benchmarks/results': 'wide figures',
  versions: 'wide',
}

/** Each section of these has the same headings, which would fill their outline. */
const repeating = new Set(['bridges'])

/** Pages of figures, which are found by the pages that lead to them. */
const unsearched = new Set(['benchmarks/results'])

function frontmatter({ route, text }) {
  const layout = layouts[route]
  const front = layout === undefined ? '' : `aside: false\npageClass: ${layout}\n`
  const outline = repeating.has(route) ? 'outline: 2\n' : ''
  const search = unsearched.has(route) ? 'search: false\n' : ''
  return `---\ntitle: ${JSON.stringify(text)}\n${front}${outline}${search}---\n\n`
}

/** A section as a page of its own: its headings move up by one level. */
function sectionOf(text, section) {
  const start = text.indexOf(`\n## ${section}\n`) + 1
  if (start === 0) throw new Error(`README.md has no section "${section}".`)
  const end = text.indexOf('\n## ', start)
  const body = text.slice(start, end < 0 ? undefined : end)
  return body.replaceAll(/^#(#+ )/gm, '$1')
}

/** Blocks with a title are shown with it: ```ts title="driver.ts" */
function titledBlocks(text) {
  return splitCode(text)
    .map(([isCode, part]) => {
      const title = isCode && /^```(\w+) title="([^"]+)"/.exec(part)
      if (!title) return part
      const block = part.replace(title[0], `\`\`\`${title[1]} [${title[2]}]`)
      return `::: code-group\n\n${block}\n\n:::`
    })
    .join('')
}

/** Blocks that are indented, as in READMEs, get a frame and a button to copy them. */
function fencedBlocks(text) {
  const block = /(?<=\n\n)((?: {4}.*\n|\n(?= {4}))+)/g
  return splitCode(text)
    .map(([isCode, part]) => {
      if (isCode) return part
      return part.replaceAll(block, (indented) => {
        const code = indented.replaceAll(/^ {4}/gm, '').trimEnd()
        return `\`\`\`${/^(npm|node|cd|curl|export|[A-Z_]+=)/m.test(code) ? 'sh' : 'text'}\n${code}\n\`\`\`\n`
      })
    })
    .join('')
}
