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
    /** Thrown in place of ending the JVM. Tools catch it as any other trouble and exit once more, so the first code counts. */
    private static final class Ended extends Error {
        Ended() {
            super(null, null, false, false);
        }
    }

    private static Integer exitCode;

    public static void main(String[] none) throws Exception {
        PrintStream answers = System.out;
        Exit.Procedure end = (status, message) -> {
            exitCode = exitCode == null ? status : exitCode;
            throw new Ended();
        };
        Exit.setExitProcedure(end);
        Exit.setHaltProcedure(end);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, UTF_8));
        for (String line; (line = lines.readLine()) != null; ) {
            ByteArrayOutputStream said = new ByteArrayOutputStream();
            PrintStream out = new PrintStream(said, true, UTF_8);
            System.setOut(out);
            System.setErr(out);
            int status = run(line.split("\t", -1), out);
            out.flush();
            answers.println(status + " " + said.size());
            said.writeTo(answers);
            answers.flush();
        }
    }

    private static int run(String[] words, PrintStream out) {
        exitCode = null;
        try {
            Object arguments = Arrays.copyOfRange(words, 1, words.length);
            Class.forName(words[0]).getMethod("main", String[].class).invoke(null, arguments);
        } catch (InvocationTargetException thrown) {
            if (!(thrown.getCause() instanceof Ended)) {
                thrown.getCause().printStackTrace(out);
                return 1;
            }
        } catch (ReflectiveOperationException noTool) {
            out.println(noTool);
            return 1;
        }
        return exitCode == null ? 0 : exitCode;
    }
}
