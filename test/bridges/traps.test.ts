import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const read = (file: string) => readFileSync(new URL(file, import.meta.url), 'utf8')

test('each trap of the README has its test', () => {
  const rows = [...read('README.md').matchAll(/^\| .* \| `(.*)` \| (.*) \|$/gm)]
  expect(rows.length).toBeGreaterThan(50)
  const missing = rows.filter(([, file, title]) => !read(`${file}`).includes(`'${title}'`))
  expect(missing.map(([row]) => row)).toEqual([])
})
