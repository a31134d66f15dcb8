import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { stowage } from './stowage.ts'

const manPage = fileURLToPath(new URL('../man/stowage.1', import.meta.url))

test('the man page is current: node bin/stowage.js man > man/stowage.1', async () => {
  const { stdout } = await stowage(['man'])
  expect(readFileSync(manPage, 'utf8')).toBe(stdout)
  for (const text of [
    'stowage doctor',
    'stowage inspect \\fIkey',
    'EXIT STATUS',
    '\\-\\-env\\-file',
  ]) {
    expect(stdout).toContain(text)
  }
  expect(stdout).not.toContain('undefined')
})

test('bash completes commands, their options and nested commands', async () => {
  const { stdout: script } = await stowage(['completion', 'bash'])
  const complete = (...words: string[]) => {
    const quoted = ['stowage', ...words].map((word) => `'${word}'`).join(' ')
    const command = `${script}\nCOMP_WORDS=(${quoted})\nCOMP_CWORD=${words.length}\n_stowage\necho "\${COMPREPLY[@]}"`
    return execFileSync('bash', ['-c', command], { encoding: 'utf8' }).trim()
  }
  expect(complete('do')).toBe('doctor')
  expect(complete('table', '')).toBe('create describe terraform cloudformation sql')
  expect(complete('table', 'create', '--r')).toBe('--role')
  expect(complete('doctor', '--env-file', 'table', '--s')).toBe('--strict')
})

test.each(['zsh', 'fish'])('the completion for %s contains all commands', async (shell) => {
  const { stdout, code } = await stowage(['completion', shell])
  expect(code).toBe(0)
  for (const word of ['doctor', 'configuration-endpoint', 'revoke', 'env-file']) {
    expect(stdout).toContain(word)
  }
})
