import { readdirSync, readFileSync, statSync } from 'node:fs'
import { extname, join, posix } from 'node:path'
import { root } from './pages.mjs'

const languages = {
  '.ts': 'ts',
  '.mjs': 'js',
  '.js': 'js',
  '.cjs': 'js',
  '.json': 'json',
  '.css': 'css',
  '.yml': 'yaml',
}

/** With more files, the code of an example is a page of its own. */
const maxInlineFiles = 7

/** The sources of an example below its README, each to be opened by a click. Empty for other pages. */
export function codeSection({ source }) {
  const folder = exampleOf(source)
  if (folder === undefined) return ''
  const files = codeFilesIn(folder)
  const isLarge = files.length > maxInlineFiles
  const code = isLarge ? `[All ${files.length} files](/${folder}-code)\n` : blocksOf(folder, files)
  return `\n## The code\n\n${code}`
}

/** The page with the sources of a large example; `undefined` for other pages. */
export function exampleCodePage({ source, text }) {
  const folder = exampleOf(source)
  const files = folder === undefined ? [] : codeFilesIn(folder)
  if (files.length <= maxInlineFiles) return undefined
  const about = `[About this example](/${folder})`
  const page = pageOf(`${text}: the code`, `${about}\n\n${blocksOf(folder, files)}`)
  return { route: `${folder}-code`, text: page }
}

/** A file of the workspace, or the list of the files of a folder. */
export function sourcePage(path) {
  const isFolder = statSync(join(root, path)).isDirectory()
  const list = () => filesIn(path).map((file) => `- \`${file}\`\n`)
  return pageOf(path, isFolder ? list().join('') : fenced(path))
}

/** The search leaves these pages out: each word of a guide would lead to code. */
function pageOf(title, body) {
  return `---\ntitle: ${JSON.stringify(title)}\nsearch: false\n---\n\n# ${title}\n\n${body}\n`
}

function exampleOf(source) {
  return /^examples\/[\w-]+(?=\/README\.md$)/.exec(source)?.[0]
}

function codeFilesIn(folder) {
  return filesIn(folder).filter((file) => /\/(src|test)\/.*\.[cm]?[jt]s$/.test(file))
}

function blocksOf(folder, files) {
  return files
    .map((file) => `::: details ${posix.relative(folder, file)}\n${fenced(file)}\n:::\n`)
    .join('\n')
}

function fenced(file) {
  const text = readFileSync(join(root, file), 'utf8').trimEnd()
  return `\`\`\`\`${languages[extname(file)] ?? 'text'}\n${text}\n\`\`\`\``
}

function filesIn(folder) {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .filter(({ name }) => name !== 'node_modules' && name !== 'dist' && !name.startsWith('.'))
    .flatMap((entry) => {
      const path = posix.join(folder, entry.name)
      return entry.isDirectory() ? filesIn(path) : [path]
    })
}
