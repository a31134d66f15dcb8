import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const read = (file: string) => readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8')
const [introduction = '', ...texts] = read('docs/bridges.md').split(/^## /m)
/** The last section is a recipe, and not one of a library. */
const sections = texts.slice(0, -1).map((text) => ({
  title: text.slice(0, text.indexOf('\n')),
  headings: [...text.matchAll(/^### (.*)$/gm)].map(([, heading]) => heading),
  text,
}))
const paths = Object.keys(JSON.parse(read('packages/bridges/package.json')).exports)
  .filter((path) => !path.endsWith('.json'))
  .map((path) => `@stowage/bridges${path.slice(1)}`)
  .sort()

test.each(sections)('$title: has the headings of all sections', ({ headings }) => {
  expect(headings).toEqual(['Install', 'Use', 'Better at', 'Cannot', 'Moving your data'])
})

test('the table has a row for each section, and for each entry point', () => {
  const rows = introduction.match(/^\| .*\]\(#.*$/gm) ?? []
  const anchorOf = (title: string) =>
    title
      .toLowerCase()
      .replaceAll(/[^\w\s-]/g, '')
      .replaceAll(' ', '-')
  const linked = rows.map((row) => row.match(/\(#(.*?)\)/)?.[1])
  expect(new Set(linked)).toEqual(new Set(sections.map(({ title }) => anchorOf(title))))
  expect(rows.flatMap((row) => row.match(/@stowage\/bridges\/[\w-]+/) ?? []).sort()).toEqual(paths)
})

test('the README has a row for each entry point', () => {
  const readme = read('packages/bridges/README.md')
  expect(readme.match(/(?<=^\| `)@stowage\/bridges\/[\w-]+/gm)?.sort()).toEqual(paths)
})
