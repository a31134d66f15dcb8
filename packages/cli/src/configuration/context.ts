import { type Cache, type Caches, ConfigError, readEnv } from '@stowage/core'
import type { Variables } from '@stowage/core/driver'
import type { EnvReport } from '@stowage/core/tools'
import { Sessions } from '@stowage/sessions'
import { sessionVariables } from '@stowage/sessions/tools'
import { CommandError } from '../errors.ts'
import type { Output } from '../output/io.ts'
import { secretsOf } from '../output/secrets.ts'
import { type AppModule, importAppModule } from './app-module.ts'
import { type EnvFile, readEnvFiles } from './env-file.ts'
import { applicationDrivers } from './packages.ts'

/** The options that say where the configuration comes from. */
export interface SourceOptions {
  readonly envFile?: readonly string[]
  readonly config?: string
}

/** That of the option `indexSecret` of `Sessions`. */
const minSecretLength = 16

/** What the environment, its files and the module of the application configure. */
export class Context {
  readonly variables: Variables
  readonly files: readonly EnvFile[]
  readonly app: AppModule
  /** `undefined` if the application has exported its caches. */
  readonly report: EnvReport | undefined
  #caches: Caches<string> | undefined

  private constructor(
    variables: Variables,
    files: readonly EnvFile[],
    app: AppModule,
    report: EnvReport | undefined,
  ) {
    this.variables = variables
    this.files = files
    this.app = app
    this.report = report
    this.#caches = app.caches
  }

  /** Reads the configuration. Connects to nothing. @throws CommandError if a file cannot be read or imported */
  static async read(options: SourceOptions, output: Output): Promise<Context> {
    const { env, cwd } = output.io
    const files = readEnvFiles(options.envFile ?? [], cwd)
    const fromFiles: Variables = Object.assign({}, ...files.map((file) => file.variables))
    const variables: Variables = { ...fromFiles, ...env }
    output.hide(secretsOf(variables))
    // Client libraries and the module of the application read them there.
    for (const [name, value] of Object.entries(variables)) process.env[name] ??= value
    const app = options.config === undefined ? {} : await importAppModule(options.config, cwd)
    const registry = app.registry ?? applicationDrivers(cwd)
    const { stores = {}, codecs = {} } = app
    const selection = { stores, codecs, knownVariables: sessionVariables }
    const report =
      app.caches === undefined ? await readEnv(variables, registry, selection) : undefined
    return new Context(variables, files, app, report)
  }

  /** Runs a command with the configuration, and closes the caches. */
  static async use<T>(
    options: SourceOptions,
    output: Output,
    command: (context: Context) => Promise<T>,
  ): Promise<T> {
    const context = await Context.read(options, output)
    try {
      return await command(context)
    } finally {
      // The process ends after the command: a backend that does not reply must not delay it.
      const { sessions } = context.app
      await Promise.allSettled([context.#caches?.close(), sessions?.cache.close()])
    }
  }

  /** The names of the caches that can be used. */
  get names(): string[] {
    const { roles } = this.report ?? {}
    if (roles === undefined) return this.#caches?.names ?? []
    return (['cache', 'session'] as const).filter((name) => roles[name].store !== undefined)
  }

  /** @throws ConfigError with all problems of the environment */
  assertValid(): void {
    const { problems = [] } = this.report ?? {}
    if (problems.length > 0) throw new ConfigError(problems)
  }

  /** The cache of a name; without one, the default cache. @throws CommandError for an unknown name */
  cache(name?: string): Cache {
    this.#caches ??= this.report?.createCaches() as Caches<string> | undefined
    const caches = this.#caches as Caches<string>
    if (name === undefined || this.names.includes(name)) return caches.use(name)
    throw new CommandError(`No store is named ${name}. Defined: ${this.names.join(', ')}.`)
  }

  /** The same, for a command that reads or changes entries. @throws CommandError for entries in another process */
  sharedCache(name?: string): Cache {
    return shared(this.cache(name))
  }

  /**
   * The sessions of the application, or those of the environment for one user.
   *
   * @throws CommandError if they are in another process, or their secret is missing
   */
  async sessions(user: string): Promise<Sessions> {
    const { sessions } = this.app
    if (sessions !== undefined) {
      shared(sessions.cache)
      return sessions
    }
    this.assertValid()
    const { SESSION_INDEX_SECRET, SESSION_SECRET } = this.variables
    // As of sessionFromEnv.
    const indexSecret = SESSION_INDEX_SECRET?.trim() || SESSION_SECRET?.split(',').at(-1)?.trim()
    if (!indexSecret) {
      throw new CommandError(
        'The sessions of a user are found with SESSION_INDEX_SECRET or SESSION_SECRET: set the one of the application, or ' +
          'export its sessions from the module given by --config.',
      )
    }
    if (indexSecret.length < minSecretLength) {
      const name = SESSION_INDEX_SECRET?.trim() ? 'SESSION_INDEX_SECRET' : 'SESSION_SECRET'
      throw new CommandError(
        `${name} has fewer than ${minSecretLength} characters. Set the one of the application.`,
      )
    }
    return new Sessions({ cache: this.sharedCache('session'), index: () => user, indexSecret })
  }
}

function shared(cache: Cache): Cache {
  if (cache.driver !== 'memory') return cache
  throw new CommandError(
    'The memory driver keeps its entries in the process of the application, which this command does not reach.',
  )
}
