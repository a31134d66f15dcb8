import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Folder, parsed, program, start } from './stowage.ts'

let folder: Folder

beforeEach(() => {
  folder = new Folder()
})
afterEach(() => folder.remove())

describe('files with variables', () => {
  test('are read in order; the environment precedes them', async () => {
    folder.write('a.env', 'CACHE_DRIVER=memcached\nCACHE_PREFIX=a:\nSESSION_PREFIX=sa:\n')
    folder.write('b.env', 'CACHE_PREFIX=b:\n')
    const args = ['doctor', '--env-file', 'a.env', '--env-file', 'b.env', '--json']
    const { stores } = parsed(await folder.run(args, { CACHE_DRIVER: 'memory' }))
    expect(stores[0]).toMatchObject({ driver: 'memory', prefix: 'b:' })
    const missing = await folder.spawn(['doctor', '--env-file', 'none.env'])
    // Node 20 reads the option as well, also behind the name of the program.
    expect([1, 9]).toContain(missing.code)
    expect(missing.stderr).toContain('none.env')
  })
})

test.each([
  [['doctor', '--nope']],
  [['nope']],
  [['inspect']],
  [['clear']],
  [['sessions', 'list']],
  [['table', 'create', '--role', 'other']],
  [['completion', 'tcsh']],
])('%j is a wrong use, with the exit code 2', async (args) => {
  const { code, stdout, stderr } = await folder.run(args)
  expect([code, stdout]).toEqual([2, ''])
  expect(stderr).not.toMatch(/\n {4}at /)
})

test('a folder named .env is not a file with variables', async () => {
  mkdirSync(join(folder.path, '.env'))
  const { code, stderr } = await folder.run(['table', 'terraform', '--table', 'of-the-cli'])
  expect([code, stderr]).toEqual([0, ''])
})

test('an unknown command of a group names those that exist, and what they require', async () => {
  const { code, stderr } = await folder.run(['sessions', 'ada'])
  expect(code).toBe(2)
  expect(stderr).toContain('stowage sessions list --user <id>')
  expect(stderr).toContain('stowage sessions revoke --user <id>')
  const table = await folder.run(['table', 'cache'])
  expect(table.stderr).toContain('stowage table create')
})

test('--help and --version print to the standard output', async () => {
  const { version } = JSON.parse(
    readFileSync(fileURLToPath(new URL('../package.json', import.meta.url)), 'utf8'),
  )
  expect(await folder.run(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' })
  expect(await folder.run(['clear', '--help'])).toMatchObject({ code: 0, stderr: '' })
})

test('colours are used on request only', async () => {
  const hasColors = async (more: Record<string, string>) =>
    (await folder.run(['doctor'], more)).stdout.includes('\x1b')
  expect(await hasColors({})).toBe(false)
  expect(await hasColors({ FORCE_COLOR: '1' })).toBe(true)
  expect(await hasColors({ FORCE_COLOR: '0' })).toBe(false)
  expect(await hasColors({ FORCE_COLOR: 'false' })).toBe(false)
  expect(await hasColors({ FORCE_COLOR: '1', NO_COLOR: '1' })).toBe(false)
})

test.each([
  [['inspect', '']],
  [['inspect', 'k', '--namespace', '']],
  [['inspect', 'k', '--store', '']],
  [['clear', '--store', '', '--yes']],
  [['clear', '--tag', 'users', '--tag', '', '--yes']],
  [['table', 'describe', '--table', '']],
  [['sessions', 'list', '--user', '']],
  [['sessions', 'revoke', '--user', '', '--yes']],
])('refuses an empty argument: %j', async (args) => {
  const { code, stderr } = await folder.run(args)
  expect([code, stderr]).toEqual([2, expect.stringContaining('empty')])
  expect(stderr).not.toMatch(/^ +at /m)
})

test.each([
  [0, ['table', 'terraform', '--table', 'of-the-cli']],
  [1, ['table', 'terraform']],
  [2, ['clear']],
])('the process of a command has its exit code, %i, and its output: %j', async (code, args) => {
  const outcome = await folder.spawn(args)
  expect(outcome).toEqual(await folder.run(args))
  expect(outcome.code).toBe(code)
})

test('ends quietly when its output is closed', async () => {
  const child = start(['help'], { cwd: folder.path })
  child.stdout?.destroy()
  let stderr = ''
  child.stderr?.on('data', (chunk) => {
    stderr += chunk
  })
  expect([...(await once(child, 'close')), stderr]).toEqual([0, null, ''])
})

// `script` starts a program on a terminal.
describe.runIf(process.platform === 'linux')(
  'on a terminal, a command that waits for a server',
  () => {
    test.each(['Ctrl+C', 'SIGTERM'])('ends at %s, and not with the code 0', async (end) => {
      const memory = new URL('../../memory/dist/index.js', import.meta.url).href
      folder.write(
        'app.mjs',
        `import { memory } from '${memory}'
      const ping = () => {
        if (process.env.END === 'SIGTERM') process.kill(process.pid, 'SIGTERM')
        return new Promise(() => {})
      }
      export default { stores: { slow: () => Object.assign(memory(), { ping, diagnostics: undefined }) } }`,
      )
      const command = `${process.execPath} ${program} doctor --config app.mjs`
      const { PATH } = process.env
      const child = spawn('script', ['-qfec', command, '/dev/null'], {
        cwd: folder.path,
        env: { PATH, TERM: 'xterm', NODE_ENV: 'test', CACHE_STORE: 'slow', END: end },
      })
      // The spinner reads keys from then on.
      child.stdout.once('data', () => end === 'Ctrl+C' && child.stdin.write('\u0003'))
      expect(await once(child, 'exit')).toEqual([130, null])
    })
  },
)
