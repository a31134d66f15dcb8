import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { AppProcess } from '../examples/shared/dist/testing/index.js'

const examples = new URL('../examples/', import.meta.url)
const names = readdirSync(examples).filter((name) => name !== 'shared' && name !== 'README.md')
const read = (path: string) => readFileSync(new URL(path, examples), 'utf8')

test.each(names)('examples/README.md lists %s, whose README says how to run it', (name) => {
  expect(read('README.md')).toContain(`](${name})`)
  const readme = read(`${name}/README.md`)
  expect(readme.match(/^## .*$/gm)?.[0]).toBe('## Run it')
  expect(readme).toContain('\n## Where to look\n')
})

// npm test installs the packages of this example; a first npm start does not.
const folder = fileURLToPath(new URL('express4-jest/', examples))
const jest = `${folder}node_modules/jest/bin/jest.js`
describe('express4-jest, in CommonJS', () => {
  test('is installed: npm test does that', () => {
    expect(existsSync(jest), `${jest} exists`).toBe(true)
  })

  test('passes its tests with Jest', async () => {
    const { stderr } = await promisify(execFile)(process.execPath, [jest], { cwd: folder })
    expect(stderr).toContain('2 passed')
  })

  test('starts, and ends with SIGTERM', async () => {
    const app = new AppProcess(new URL('express4-jest/src/main.js', examples), {})
    const response = await fetch(await app.url())
    expect(await response.json()).toEqual({ visits: 1 })
    expect(await app.stop()).toBe(0)
  })
})
