import { Command, InvalidArgumentError, Option } from 'commander'
import { parseNodeList } from './configuration/node-list.ts'
import type { Output } from './output/io.ts'

/** Runs a command, and keeps its exit code. */
export type Runner = (command: () => Promise<number>) => Promise<void>

/**
 * The definitions of all commands. The shell completion and the man page are generated from them. A command is imported
 * when it runs.
 */
export function createProgram(version: string, output: Output, run: Runner): Command {
  const program = new Command('stowage')
    .description('Checks caches and sessions, looks into them and clears them.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print the options of a command')
    .helpCommand('help [command]', 'print the options of a command')
  addDoctor(program, output, run)
  addInspect(program, output, run)
  addClear(program, output, run)
  addTable(program, output, run)
  addSessions(program, output, run)
  addEmulate(program, output, run)
  addGenerators(program, output, run)
  return program
}

function addDoctor(program: Command, output: Output, run: Runner): void {
  sourceOptions(program.command('doctor'))
    .description('find what is wrong with the configuration and the backends')
    .option('--strict', 'fail on warnings as well')
    .option('--verbose', 'also print the variables that are read, with masked values')
    .action((options) =>
      run(async () => (await import('./commands/doctor.ts')).doctor(options, output)),
    )
}

function addInspect(program: Command, output: Output, run: Runner): void {
  sourceOptions(program.command('inspect'))
    .description('print where a key is stored, its ttl, size, tags and frame')
    .argument('<key>', 'key without the prefix of the cache; of a session, its id', notEmpty)
    .option('--store <name>', 'cache, session, or a name of the application', notEmpty)
    .option('--namespace <name>', 'namespace of the key', notEmpty)
    .action((key, options) =>
      run(async () => (await import('./commands/inspect.ts')).inspect(key, options, output)),
    )
}

function addClear(program: Command, output: Output, run: Runner): void {
  sourceOptions(program.command('clear'))
    .description('delete entries, after a confirmation')
    .option('--store <name>', 'cache, session, or a name of the application', notEmpty)
    .option('--prefix <text>', 'only the keys that begin with this text')
    .option('--tag <tag>', 'invalidate a tag; repeatable', collectTags)
    .option('-y, --yes', 'do not ask')
    .action((options) =>
      run(async () => (await import('./commands/clear.ts')).clear(options, output)),
    )
}

const tableActions = {
  create: 'create the table, and on DynamoDB enable its TTL',
  describe: 'print the state of the table, and what is wrong with it',
  terraform: 'print a Terraform resource for the table of DynamoDB',
  cloudformation: 'print a CloudFormation template with the table of DynamoDB',
  sql: 'print the SQL statement that creates the table of PostgreSQL',
} as const

function addTable(program: Command, output: Output, run: Runner): void {
  const table = program
    .command('table')
    .description('create and describe the tables of DynamoDB and PostgreSQL')
  for (const action of Object.keys(tableActions) as (keyof typeof tableActions)[]) {
    sourceOptions(table.command(action), { config: false })
      .description(tableActions[action])
      .option(
        '--table <name>',
        'name of the table (default: CACHE_TABLE or SESSION_TABLE)',
        notEmpty,
      )
      .addOption(
        new Option('--role <role>', 'whose variables are read')
          .choices(['cache', 'session'])
          .default('cache'),
      )
      .action((options) =>
        run(async () => (await import('./commands/table.ts')).table(action, options, output)),
      )
  }
  namesItsCommands(table)
}

function addSessions(program: Command, output: Output, run: Runner): void {
  const index = 'the user, as the option index of the sessions returns it'
  const user = ['--user <id>', index, notEmpty] as const
  const sessions = program.command('sessions').description('list and end the sessions of a user')
  sourceOptions(sessions.command('list'))
    .description('list the sessions of a user, without their ids and values')
    .requiredOption(...user)
    .action((options) =>
      run(async () => (await import('./commands/sessions.ts')).listSessions(options, output)),
    )
  sourceOptions(sessions.command('revoke'))
    .description('end all sessions of a user, after a confirmation')
    .requiredOption(...user)
    .option('-y, --yes', 'do not ask')
    .action((options) =>
      run(async () => (await import('./commands/sessions.ts')).revokeSessions(options, output)),
    )
  namesItsCommands(sessions)
}

function addEmulate(program: Command, output: Output, run: Runner): void {
  const emulate = program.command('emulate').description('start servers for development')
  emulate
    .command('configuration-endpoint')
    .description('serve the node list of an ElastiCache cluster, in front of memcached servers')
    .requiredOption('--nodes <list>', 'host:port of the nodes, separated by commas', splitList)
    .option('--port <port>', 'port to listen on', parsePort, 11210)
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--json', 'print JSON')
    .action((options) =>
      run(async () => {
        const { emulateConfigurationEndpoint } = await import('./commands/emulate.ts')
        return emulateConfigurationEndpoint(options, output)
      }),
    )
  namesItsCommands(emulate)
}

function addGenerators(program: Command, output: Output, run: Runner): void {
  program
    .command('completion')
    .description('print a script that completes commands and options')
    .argument('<shell>', 'bash, zsh or fish')
    .action((shell) =>
      run(async () => {
        const { completion } = await import('./generate/completion.ts')
        output.line(completion(program, shell))
        return 0
      }),
    )
  program.command('man', { hidden: true }).action(() =>
    run(async () => {
      const { manPage } = await import('./generate/man-page.ts')
      output.line(manPage(program))
      return 0
    }),
  )
}

/** The options that say where the configuration comes from, and `--json`. */
function sourceOptions(command: Command, { config = true } = {}): Command {
  command.option(
    '--env-file <file>',
    'file with variables; repeatable (default: .env, if it exists)',
    collect,
  )
  if (config) command.option('--config <module>', 'module that exports caches, sessions or stores')
  return command.option('--json', 'print JSON')
}

/** Makes the error of an unknown command name those that exist, with what they require. */
function namesItsCommands(group: Command): void {
  const usages = group.commands.map((each) => {
    const required = each.options.filter(({ mandatory }) => mandatory).map(({ flags }) => flags)
    return ['stowage', group.name(), each.name(), ...required].join(' ')
  })
  group.showHelpAfterError(`Use: ${usages.join('\n     ')}`)
}

function collect(value: string, previous: readonly string[] = []): string[] {
  return [...previous, value]
}

function collectTags(value: string, previous: readonly string[] = []): string[] {
  return collect(notEmpty(value), previous)
}

function notEmpty(text: string): string {
  if (text !== '') return text
  throw new InvalidArgumentError('It is empty.')
}

function splitList(text: string): string[] {
  const nodes = parseNodeList(text)
  if (nodes !== undefined) return nodes
  throw new InvalidArgumentError('Use host:port, separated by commas.')
}

function parsePort(text: string): number {
  const port = Number(text)
  if (/^\d+$/.test(text) && port < 65_536) return port
  throw new InvalidArgumentError('Use a number from 0 to 65535.')
}
