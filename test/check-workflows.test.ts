import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, describe, expect, test } from 'vitest'
import { workflowProblems } from '../scripts/lib/workflow-rules.mjs'

const execute = promisify(execFile)
const checker = fileURLToPath(new URL('../scripts/check-workflows.mjs', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'stowage-workflows-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const checkout = 'actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2'

/** A workflow without problems, of which a test changes a part. */
const valid = `on:
  pull_request:
permissions:
  contents: read
jobs:
  test:
    runs-on: ubuntu-24.04
    permissions:
      contents: write
    steps:
      - uses: ${checkout}
        with:
          persist-credentials: false
      - run: npm test -- "$SECTION" \${{ matrix.node }}
        env:
          SECTION: \${{ github.event.pull_request.title }}
          TOKEN: \${{ secrets.TOKEN }}
`

describe('check-workflows', () => {
  test('accepts the workflows of this repository, and one like them', async () => {
    const { stdout, stderr } = await execute(process.execPath, [checker])
    expect(stdout + stderr).toBe('')
    expect(problemsOf(valid)).toEqual([])
  })

  test('fails with a list of what it rejects', async () => {
    problemsOf(valid.replace('contents: read', 'contents: write'))
    const { code, stderr } = await execute(process.execPath, [checker, folder]).catch(
      (error) => error,
    )
    expect([code, stderr.trim()]).toEqual([
      1,
      'Workflows:\n  a.yml:4 every job gets a permission to write. List it at the job that needs it',
    ])
  })

  test.each([
    ['an action with a tag', checkout, 'actions/checkout@v6', '11 .* is not pinned'],
    ['an action with a short hash', checkout, 'actions/checkout@de0fac2 # v6.0.2', '11 .* is not'],
    ['an action of another registry', checkout, 'docker://alpine:3', '11 .* is not pinned'],
    ['a hash without a version', ' # v6.0.2', '', '11 .* has no comment with its version'],
    ['a reusable workflow with a tag', 'runs-on:', 'uses: a/b/c.yml@main #', '7 .* is not pinned'],
    ['a checkout for forks with secrets', 'pull_request:', 'pull_request_target:', '11 pull_req'],
    ['a token that stays in .git', 'credentials: false', 'credentials: true', '11 a checkout that'],
    ['all permissions', '  contents: read', '  write-all', '[34] permissions: write-all'],
    [
      'all permissions of a job',
      '      contents: write',
      '      write-all',
      '[89] permissions: wr',
    ],
    ['no permissions', 'permissions:\n  contents: read\n', '', '1 has no permissions'],
    [
      'text of a pull request in a script',
      '"$SECTION"',
      '"$' + '{{ github.event.pull_request.title }}"',
      '14 github.event.pull_request.title in a script',
    ],
    ['a branch name in a script', 'matrix.node', 'github.head_ref', '14 github.head_ref in a sc'],
    ['a computed secret in a script', 'matrix.node', "secrets['A']", '14 a secret in a script'],
    ['a secret in the log', 'npm test', 'echo "$TOKEN"', '14 a secret in the log: echo'],
    ['the environment in the log', 'npm test', 'env | sort', '14 a secret in the log: env'],
    ['a log of all commands', 'npm test', 'set -x; npm test', '14 a secret in the log: set'],
    ['what is no YAML', 'on:', 'on: [', ' '],
  ])('rejects %s', (_, from, to, problem) => {
    expect(valid).toContain(from)
    const problems = problemsOf(valid.replace(from, to)).join('\n')
    expect(problems).toMatch(new RegExp(`^a.yml:?${problem}`, 'm'))
  })
})

function problemsOf(workflow: string): string[] {
  writeFileSync(join(folder, 'a.yml'), workflow)
  return workflowProblems(folder)
}
