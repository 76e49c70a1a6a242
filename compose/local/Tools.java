import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.util.Arrays;

import org.apache.kafka.common.utils.internals.Exit;

import static java.nio.charset.StandardCharsets.UTF_8;

/**
 * Runs Kafka's own command-line tools one after another in one JVM, as starting one for each takes seconds.
 *
 * A line on standard input is the tool's class and its arguments, separated by tabs. The answer is a line with the tool's
 * exit code and the number of bytes that it said, and then those bytes.
 */
public class Tools {
    /** Thrown in place of ending the JVM. Tools catch it as any other trouble, say so, and exit once more. */
    private static final class Ended extends Error {
        Ended() {
            super(null, null, false, false);
        }
    }

    /** What came of a tool, once it has ended. */
    private record Answer(int exitCode, byte[] said) {}

    private static final ByteArrayOutputStream SAID = new ByteArrayOutputStream();
    private static final PrintStream OUT = new PrintStream(SAID, true, UTF_8);
    private static Answer first;

    public static void main(String[] none) throws Exception {
        PrintStream answers = System.out;
        System.setOut(OUT);
        System.setErr(OUT);
        Exit.Procedure end = (status, message) -> {
            end(status);
            throw new Ended();
        };
        Exit.setExitProcedure(end);
        Exit.setHaltProcedure(end);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, UTF_8));
        for (String line; (line = lines.readLine()) != null; ) {
            SAID.reset();
            first = null;
            run(line.split("\t", -1));
            answers.println(first.exitCode + " " + first.said.length);
            answers.write(first.said);
            answers.flush();
        }
    }

    private static void end(int exitCode) {
        if (first == null) {
            OUT.flush();
            first = new Answer(exitCode, SAID.toByteArray());
        }
    }

    private static void run(String[] words) {
        try {
            Object arguments = Arrays.copyOfRange(words, 1, words.length);
            Class.forName(words[0]).getMethod("main", String[].class).invoke(null, arguments);
            end(0);
        } catch (InvocationTargetException thrown) {
            if (first == null) {
                thrown.getCause().printStackTrace(OUT);
            }
            end(1);
        } catch (ReflectiveOperationException noTool) {
            OUT.println(noTool);
            end(1);
        }
    }
}
