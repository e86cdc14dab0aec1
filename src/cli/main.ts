#!/usr/bin/env node
/** The program's entry: has Node keep what it compiles, then runs the command line. */
import { enableCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

// Compiling takes half of the processor time of a start; a folder that cannot be written costs nothing but that.
// NODE_COMPILE_CACHE names another one, NODE_DISABLE_COMPILE_CACHE=1 does without.
enableCompileCache(join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'sluice/compiled'));

const { main } = await import('./commands.ts');
await main();
