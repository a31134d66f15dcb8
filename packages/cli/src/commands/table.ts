import { Context, type SourceOptions } from '../configuration/context.ts'
import { printFindings } from '../doctor/doctor-text.ts'
import type { Output } from '../output/io.ts'
import { list } from '../output/layout.ts'
import { openTable, type Table } from './table-drivers.ts'

export interface TableOptions extends SourceOptions {
  readonly json?: boolean
  readonly table?: string
  readonly role: 'cache' | 'session'
}

export type TableAction = 'create' | 'describe' | 'terraform' | 'cloudformation' | 'sql'

/** Returns the exit code: 1 if the table is not as the driver needs it. */
export async function table(
  action: TableAction,
  options: TableOptions,
  output: Output,
): Promise<number> {
  const context = await Context.read(options, output)
  const opened = await openTable(context.variables, options, output.io.cwd)
  if (action === 'describe') return describe(opened, options, output)
  if (action === 'create') return create(opened, options, output)
  const text = opened.define(action)
  if (options.json) output.json({ command: 'table', action, table: opened.name, text })
  else output.line(text)
  return 0
}

async function create(
  { name, ensure, ready }: Table,
  { json }: TableOptions,
  output: Output,
): Promise<number> {
  await ensure()
  if (json) output.json({ command: 'table', action: 'create', table: name })
  else output.line(`${output.colors.green('✓')} The table ${name} ${ready}.`)
  return 0
}

async function describe(
  { name, openStore }: Table,
  { json }: TableOptions,
  output: Output,
): Promise<number> {
  const store = openStore()
  const report = await store.diagnostics?.check()
  await store.close()
  const { servers = [], findings = [] } = report ?? {}
  const facts = servers[0]?.facts ?? {}
  if (json) output.json({ command: 'table', action: 'describe', table: name, facts, findings })
  else {
    const pairs = Object.entries(facts).map(([name, value]) => [name, String(value)] as const)
    output.line(list([['table', name], ...pairs]))
    printFindings(
      findings.map((finding) => ({ ...finding, stores: [] })),
      output,
    )
  }
  return findings.length > 0 ? 1 : 0
}
