import { execFile } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { parse, stringify } from 'yaml'

const root = fileURLToPath(new URL('../..', import.meta.url))
const require = createRequire(import.meta.url)
const execute = promisify(execFile)

/** What the projects need besides the packages: the frameworks of the examples, and types of Node and of them. */
const others = [
  ...['express@5', 'express-session@1'],
  ...['@types/node@20', '@types/express@5', '@types/express-session@1'],
]
/** An entry of the lockfile of the workspace: `  '@types/node@20.19.43':`. */
const lockedPackage = /^ {2}'?(@?[^@'\s]+)@(\d[^:('\s]*)'?:$/gm

/** The published packages, as tarballs and installed in a project outside the workspace. */
export class PackageSet {
  /** Names without the scope. */
  readonly names: readonly string[] = publishedNames()
  /** The project, which contains nothing but `node_modules`. */
  readonly folder: string = mkdtempSync(join(tmpdir(), 'stowage-consumers-'))

  tarballOf(name: string): string {
    return join(this.folder, 'tarballs', `stowage-${name}-${manifestOf(name).version}.tgz`)
  }

  /**
   * Packs the packages as they would be published, and installs them with npm. No script of a dependency runs, as with npm
   * 12: all that is tested here works without.
   */
  async install(): Promise<void> {
    await this.packAll()
    this.#writeManifest('package.json')
    const tarballs = this.names.map((name) => this.tarballOf(name))
    await this.#npmInstall(['--ignore-scripts', ...tarballs, ...others])
  }

  /** Packs the packages as they would be published. */
  async packAll(): Promise<void> {
    const tarballs = join(this.folder, 'tarballs')
    mkdirSync(tarballs)
    const filters = this.names.map((name) => `--filter=@stowage/${name}`)
    const args = ['--dir', root, '--recursive', ...filters, 'pack', '--pack-destination', tarballs]
    // Outside the workspace, all of whose dependencies npx would read first, in six seconds of processor time.
    await execute('npx', ['--yes', pnpm(), ...args], { cwd: this.folder })
  }

  /** Packs a folder of the project. Returns the path of the tarball. */
  async pack(folder: string): Promise<string> {
    const { stdout } = await execute('npm', ['pack', `./${folder}`], { cwd: this.folder })
    return join(this.folder, stdout.trim())
  }

  /**
   * Installs tarballs in a further project, and lets scripts run.
   *
   * @returns the packages that ran one
   */
  async scriptsOfInstallation(...tarballs: string[]): Promise<string[]> {
    const folder = join(this.folder, 'with-scripts')
    rmSync(folder, { recursive: true, force: true })
    this.#writeManifest('with-scripts/package.json')
    // npm 12 runs no script without the second option, of which earlier versions warn.
    const options = ['--foreground-scripts', '--dangerously-allow-all-scripts']
    const output = await this.#npmInstall([...options, ...tarballs], folder)
    return [...output.matchAll(/^> (.+)@\S+ (?:pre|post)?install$/gm)].map(([, name = '']) => name)
  }

  /** Installs packages in a folder of the project, in these versions, which may differ from those of the workspace. */
  async installIn(folder: string, ...names: string[]): Promise<void> {
    this.write(`${folder}/package.json`, JSON.stringify({ name: folder, private: true }))
    await this.#npmInstall(['--ignore-scripts', ...names], join(this.folder, folder))
  }

  /**
   * Installs dependencies in a folder of the project for each name, with the pnpm of the workspace: a project finds only
   * what it declares. One installation for all of them, which takes what the workspace has from the same store. The versions
   * are those of the workspace.
   */
  async installProjects(projects: Readonly<Record<string, readonly string[]>>): Promise<void> {
    const versions = { ...manifestVersions(), ...this.#tarballs() }
    for (const [name, wanted] of Object.entries(projects)) {
      const dependencies = Object.fromEntries(wanted.map((each) => [each, versions[each]]))
      this.write(`${name}/package.json`, JSON.stringify({ name, private: true, dependencies }))
    }
    const settings = parse(readFileSync(join(root, 'pnpm-workspace.yaml'), 'utf8'))
    const overrides = { ...settings.overrides, ...this.#tarballs() }
    const workspace = { ...settings, packages: Object.keys(projects), overrides }
    this.write('pnpm-workspace.yaml', stringify(workspace))
    this.write('package.json', JSON.stringify({ name: 'consumers', private: true }))
    cpSync(join(root, 'pnpm-lock.yaml'), join(this.folder, 'pnpm-lock.yaml'))
    const options = ['--prefer-offline', '--no-frozen-lockfile', '--ignore-scripts']
    await execute('npx', ['--yes', pnpm(), 'install', ...options], { cwd: this.folder })
  }

  /**
   * Packs the packages, and unpacks them beside the dependencies that the workspace has installed: only those that a
   * package declares, and {@link others}. Cheaper than an installation with npm, and needs no registry.
   */
  async unpack(): Promise<void> {
    await this.packAll()
    this.write('package.json', JSON.stringify({ name: 'consumer', private: true }))
    await Promise.all(this.names.map((name) => this.#unpack(name)))
    for (const name of this.names) {
      const { dependencies, peerDependencies } = manifestOf(name)
      const names = Object.keys({ ...dependencies, ...peerDependencies })
      this.#link(name, ...names.filter((dependency) => !dependency.startsWith('@stowage/')))
    }
    this.#link('express', ...others.map((other) => other.slice(0, other.lastIndexOf('@'))))
  }

  /** Removes packages, as if the application had not installed them. */
  uninstall(...names: string[]): void {
    for (const name of names) {
      rmSync(join(this.folder, 'node_modules/@stowage', name), { recursive: true })
    }
  }

  write(file: string, text: string): string {
    const path = join(this.folder, file)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
    return path
  }

  /** Runs Node in the project. Returns what it prints. @throws Error with the output if it fails */
  async node(
    args: readonly string[],
    folder: string = this.folder,
    variables: NodeJS.ProcessEnv = {},
  ): Promise<string> {
    try {
      const env = { ...ownVariables(), ...variables }
      const { stdout } = await execute(process.execPath, args, { cwd: folder, env })
      return stdout.trim()
    } catch (error) {
      const { stdout, stderr } = error as { stdout: string; stderr: string }
      throw new Error(`node ${args.join(' ')}\n${stdout}\n${stderr}`)
    }
  }

  /**
   * Runs a line of a page in a shell, with the tools of this folder. Returns what it prints.
   *
   * @throws Error with the output if it fails
   */
  async shell(line: string, tools: Readonly<Record<string, string>>): Promise<string> {
    const bin = join(this.folder, 'bin')
    mkdirSync(bin, { recursive: true })
    // Not node_modules/.bin, whose scripts make all packages of the workspace available.
    for (const [name, path] of Object.entries(tools)) {
      if (!existsSync(join(bin, name))) symlinkSync(path, join(bin, name))
    }
    const env = { ...ownVariables(), PATH: [bin, process.env.PATH].join(delimiter) }
    const { stdout } = await execute('sh', ['-c', line], { cwd: this.folder, env })
    return stdout
  }

  /** Links tools that this folder has installed, for modules of the project that import them. */
  linkTools(...names: string[]): void {
    for (const name of names)
      this.#linkTo(join(fileURLToPath(new URL('node_modules', import.meta.url)), name), name)
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }

  /** What each package is installed from. */
  #tarballs(): Record<string, string> {
    const entries = this.names.map((name) => [`@stowage/${name}`, `file:${this.tarballOf(name)}`])
    return Object.fromEntries(entries)
  }

  /** A registry may offer a release before what it depends on: the test must not fail because of the time of day. */
  #writeManifest(file: string): void {
    const overrides = lockedVersions()
    this.write(file, JSON.stringify({ name: 'consumer', private: true, overrides }))
  }

  async #npmInstall(args: readonly string[], cwd: string = this.folder): Promise<string> {
    const quiet = ['--no-audit', '--no-fund', '--no-package-lock', '--prefer-offline']
    const { stdout } = await execute('npm', ['install', ...quiet, ...args], { cwd })
    return stdout
  }

  async #unpack(name: string): Promise<void> {
    const folder = join(this.folder, 'node_modules/@stowage', name)
    mkdirSync(folder, { recursive: true })
    await execute('tar', ['-xzf', this.tarballOf(name), '--strip-components=1', '-C', folder])
  }

  /** Links what a package of the workspace has installed. */
  #link(from: string, ...names: string[]): void {
    for (const name of names) {
      const [installed] = [`packages/${from}`, '.']
        .map((folder) => join(root, folder, 'node_modules', name))
        .filter(existsSync)
      if (installed !== undefined) this.#linkTo(installed, name)
    }
  }

  #linkTo(installed: string, name: string): void {
    const link = join(this.folder, 'node_modules', name)
    if (existsSync(link)) return
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(realpathSync(installed), link)
  }
}

/** Without the variables that this test run has set for its own processes. */
function ownVariables(): NodeJS.ProcessEnv {
  const isOfTestRun = (name: string) => /^(VITEST|NODE_OPTIONS|NODE_ENV|NODE_PATH|TEST)/.test(name)
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !isOfTestRun(name)))
}

/** The path of a file of a tool that this folder has installed. */
export function tool(name: string, file: string): string {
  return join(dirname(require.resolve(`${name}/package.json`)), file)
}

export function manifestOf(name: string) {
  return JSON.parse(readFileSync(join(root, 'packages', name, 'package.json'), 'utf8'))
}

/** What an application imports: the package, or each of its entry points where it has no main one. */
export function importsOf(name: string): string[] {
  const { exports } = manifestOf(name)
  const paths = Object.keys(exports).filter((path) => !/\.json$|\*/.test(path))
  return ('.' in exports ? ['.'] : paths).map((path) => `@stowage/${name}${path.slice(1)}`)
}

export function publishedNames(): string[] {
  return readdirSync(join(root, 'packages')).filter((name) => !manifestOf(name).private)
}

/** The versions of the libraries that the workspace tests with. */
function manifestVersions(): Record<string, string> {
  const files = ['test/consumers', 'test/bridges', '.'].map((folder) => `${folder}/package.json`)
  const manifests = files.map((file) => JSON.parse(readFileSync(join(root, file), 'utf8')))
  return Object.assign({}, ...manifests.map(({ devDependencies }) => devDependencies))
}

/** The versions that the workspace uses, except of packages of which it uses several. npm refuses them for {@link others}. */
function lockedVersions(): Record<string, string> {
  const lockfile = readFileSync(join(root, 'pnpm-lock.yaml'), 'utf8')
  const packages = lockfile.slice(lockfile.indexOf('\npackages:'), lockfile.indexOf('\nsnapshots:'))
  const versions: Record<string, string | undefined> = {}
  for (const [, name = '', version] of packages.matchAll(lockedPackage)) {
    versions[name] = name in versions ? undefined : version
  }
  const isDirect = (name: string) => others.some((other) => other.startsWith(`${name}@`))
  const locked = Object.entries(versions).filter(([name]) => !isDirect(name))
  return Object.fromEntries(locked.flatMap(([name, version]) => (version ? [[name, version]] : [])))
}

/** The release that installs the workspace. */
function pnpm(): string {
  const text = readFileSync(join(root, 'scripts/lib/prepare.mjs'), 'utf8')
  return /'(pnpm@[\d.]+)'/.exec(text)?.[1] ?? 'pnpm'
}
